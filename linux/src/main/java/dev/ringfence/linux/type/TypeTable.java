package dev.ringfence.linux.type;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.Bytes;
import dev.ringfence.machine.input.NearestNames;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Sizes and offsets of the kernel's C types, from BTF (Linux, Documentation/bpf/btf.rst).
 *
 * <p>A type is named without {@code struct} or {@code union}; where one name means several things,
 * a struct or union comes before a typedef, and that before a number or enum. A path names a
 * member: {@code lru.next}, {@code comm[3]}, {@code signal}; members of anonymous structs and
 * unions are found by their own name, as in C. Typedefs are looked through. Arrays of arrays are
 * one array in the BTF of kernels: {@code table[5]} for a last element {@code table[2][1]}.
 *
 * <p>Immutable; may be used by several threads. A lookup walks the members: callers that need an
 * offset often keep it.
 */
public final class TypeTable {
  /** Anonymous structs in each other, and structs in each other in a path. */
  private static final int DEEPEST = 64;

  /** Members looked at in one lookup. The kernel's largest structs have a few hundred. */
  private static final int MOST_MEMBERS = 1_000_000;

  private final String file;
  private final Btf btf;
  private final Map<String, Integer> structs = new HashMap<>();
  private final Map<String, Integer> typedefs = new HashMap<>();
  private final Map<String, Integer> others = new HashMap<>();
  private final Map<String, Long> enumerators = new HashMap<>();

  /**
   * A member that was found.
   *
   * @param bitOffset from the start of the outermost struct
   * @param type as declared
   * @param bits width of a bit field, 0 for others
   */
  private record Member(long bitOffset, int type, int bits) {
    Member in(long outerBits) {
      return new Member(outerBits + bitOffset, type, bits);
    }
  }

  /** Counts members looked at, so that types which contain themselves end. */
  private static final class Budget {
    private int left = MOST_MEMBERS;

    boolean isSpent() {
      return left-- <= 0;
    }
  }

  private TypeTable(Bytes section) {
    file = section.name();
    btf = new Btf(section);
    for (int type = 1; type < btf.count(); type++) {
      switch (btf.kind(type)) {
        case Btf.STRUCT, Btf.UNION -> structs.putIfAbsent(btf.name(type), type);
        case Btf.TYPEDEF -> typedefs.putIfAbsent(btf.name(type), type);
        case Btf.INT, Btf.FLOAT -> others.putIfAbsent(btf.name(type), type);
        case Btf.ENUM, Btf.ENUM64 -> {
          others.putIfAbsent(btf.name(type), type);
          for (int i = 0; i < btf.length(type); i++) {
            enumerators.putIfAbsent(btf.enumeratorName(type, i), btf.enumeratorValue(type, i));
          }
        }
        default -> {
          // Not found by name: pointers, qualifiers, functions, variables, tags.
        }
      }
    }
    structs.remove("");
    others.remove("");
  }

  /**
   * Reads a BTF section, such as {@code /sys/kernel/btf/vmlinux}.
   *
   * @param name of the file, for messages
   * @throws BadInputException if it is not BTF or is damaged
   */
  public static TypeTable of(byte[] section, String name) {
    return new TypeTable(Bytes.of(section, name));
  }

  /** Whether there is a struct or union, or a typedef of one, of this name. */
  public boolean hasStruct(String struct) {
    Integer type = find(struct);
    return type != null && btf.isStruct(btf.resolve(type));
  }

  /**
   * Size in bytes of a struct, union, typedef, enum or number.
   *
   * @throws BadInputException if there is no type of this name
   */
  public int sizeOf(String struct) {
    return (int) btf.size(require(struct));
  }

  /** Whether the type exists and has this member. */
  public boolean has(String struct, String path) {
    Integer type = find(struct);
    return type != null && walk(type, path) != null;
  }

  /**
   * Offset in bytes of a member from the start of the struct; of a bit field, that of the byte with
   * its lowest bit.
   *
   * @throws BadInputException if there is no such type or member, with the nearest names
   */
  public int offsetOf(String struct, String path) {
    return (int) (requireMember(struct, path).bitOffset() / Byte.SIZE);
  }

  /**
   * Size in bytes of a member; of a bit field, that of the bytes that it touches.
   *
   * @throws BadInputException if there is no such type or member
   */
  public int size(String struct, String path) {
    Member member = requireMember(struct, path);
    if (member.bits() != 0) {
      long first = member.bitOffset() % Byte.SIZE;
      return (int) (first + member.bits() + Byte.SIZE - 1) / Byte.SIZE;
    }
    return (int) btf.size(member.type());
  }

  /**
   * Where a bit field is. Other members of at most 8 bytes are fields of all their bits.
   *
   * @throws BadInputException if there is no such type or member, or if it is larger than 8 bytes
   */
  public BitField bits(String struct, String path) {
    Member member = requireMember(struct, path);
    long width = member.bits() != 0 ? member.bits() : Byte.SIZE * btf.size(member.type());
    long start = member.bitOffset() / Byte.SIZE;
    int shift = (int) (member.bitOffset() % Byte.SIZE);
    if (width == 0 || width + shift > Long.SIZE) {
      throw new BadInputException(
          "%s: expected %s of %s to lie in 8 bytes, found %d bits"
              .formatted(file, path, struct, width));
    }
    return new BitField((int) start, shift, (int) width);
  }

  /** The value of an enumerator of any enum: {@code PG_slab}. */
  public OptionalLong enumValue(String enumerator) {
    Long value = enumerators.get(enumerator);
    return value == null ? OptionalLong.empty() : OptionalLong.of(value);
  }

  /**
   * The member at an offset, as a path down to a number or pointer: {@code
   * signal.shared_pending.list}, {@code comm[3]}. Of a union, the first member that reaches as far.
   * Anonymous structs and unions leave no trace in the path.
   *
   * @param offset in bytes from the start of the struct
   * @return {@code <hole>} in place of the member that does not exist, where there is only padding
   *     or nothing more
   * @throws BadInputException if there is no such type
   */
  public String fieldAt(String struct, int offset) {
    StringBuilder path = new StringBuilder();
    int type = btf.resolve(require(struct));
    long bit = (long) offset * Byte.SIZE;
    for (int depth = 0; depth < DEEPEST; depth++) {
      if (btf.isStruct(type)) {
        int index = memberAt(type, bit);
        if (index < 0) {
          return append(path, "<hole>").toString();
        }
        String name = btf.memberName(type, index);
        if (!name.isEmpty()) {
          append(path, name);
        }
        bit -= btf.memberBitOffset(type, index);
        if (btf.memberBits(type, index) != 0) {
          return path.toString();
        }
        type = btf.resolve(btf.memberType(type, index));
      } else if (btf.kind(type) == Btf.ARRAY) {
        int element = btf.resolve(btf.element(type));
        long size = btf.size(element) * Byte.SIZE;
        if (size == 0) {
          return path.toString();
        }
        path.append('[').append(bit / size).append(']');
        bit %= size;
        type = element;
      } else {
        return path.toString();
      }
    }
    throw endless(struct);
  }

  private static StringBuilder append(StringBuilder path, String name) {
    if (!path.isEmpty()) {
      path.append('.');
    }
    return path.append(name);
  }

  /** Index of the first member that contains a bit, -1 if none does. */
  private int memberAt(int struct, long bit) {
    int members = btf.length(struct);
    for (int i = 0; i < members; i++) {
      long start = btf.memberBitOffset(struct, i);
      int bits = btf.memberBits(struct, i);
      int type = btf.resolve(btf.memberType(struct, i));
      long size = bits != 0 ? bits : btf.size(type) * Byte.SIZE;
      // An array of unknown length is the last member and has no end.
      boolean open =
          size == 0 && btf.kind(type) == Btf.ARRAY && i == members - 1 && btf.elements(type) == 0;
      // The byte of a bit field begins before it.
      long first = bits != 0 ? start & -Byte.SIZE : start;
      if (bit >= first && (bit < start + size || open)) {
        return i;
      }
    }
    return -1;
  }

  private @Nullable Integer find(String name) {
    for (Map<String, Integer> names : List.of(structs, typedefs, others)) {
      Integer type = names.get(name);
      if (type != null) {
        return type;
      }
    }
    return null;
  }

  private int require(String name) {
    Integer type = find(name);
    if (type == null) {
      List<String> names = new ArrayList<>(structs.keySet());
      names.addAll(typedefs.keySet());
      throw new BadInputException(
          "%s: expected a type %s in BTF, found none of that name%s"
              .formatted(file, name, NearestNames.hint(name, names)));
    }
    return type;
  }

  private Member requireMember(String struct, String path) {
    int type = require(struct);
    Member member = walk(type, path);
    if (member == null) {
      String hint = hint(type, path);
      throw new BadInputException(
          "%s: expected a member %s of %s in BTF, found none of that name%s"
              .formatted(file, path, struct, hint));
    }
    return member;
  }

  /** Nearest names for the first part of the path that does not exist. */
  private String hint(int type, String path) {
    int from = 0;
    int struct = type;
    while (true) {
      int dot = path.indexOf('.', from);
      String step = dot < 0 ? path.substring(from) : path.substring(from, dot);
      Member member = walk(struct, step);
      if (member == null || dot < 0) {
        List<String> names = new ArrayList<>();
        collect(btf.resolve(struct), names, DEEPEST, new Budget());
        int bracket = step.indexOf('[');
        return NearestNames.hint(bracket < 0 ? step : step.substring(0, bracket), names);
      }
      struct = member.type();
      from = dot + 1;
    }
  }

  private void collect(int struct, List<String> names, int depth, Budget budget) {
    if (!btf.isStruct(struct) || depth == 0) {
      return;
    }
    for (int i = 0; i < btf.length(struct) && !budget.isSpent(); i++) {
      String name = btf.memberName(struct, i);
      if (name.isEmpty()) {
        collect(btf.resolve(btf.memberType(struct, i)), names, depth - 1, budget);
      } else {
        names.add(name);
      }
    }
  }

  private @Nullable Member walk(int start, String path) {
    Member at = new Member(0, start, 0);
    Budget budget = new Budget();
    for (String step : path.split("\\.", -1)) {
      int bracket = step.indexOf('[');
      String name = bracket < 0 ? step : step.substring(0, bracket);
      Member member = member(btf.resolve(at.type()), name, DEEPEST, budget);
      if (member == null) {
        return null;
      }
      at = member.in(at.bitOffset());
      if (bracket >= 0) {
        Member element = element(at, step.substring(bracket));
        if (element == null) {
          return null;
        }
        at = element;
      }
    }
    return at;
  }

  /** Follows {@code [1][2]}. */
  private @Nullable Member element(Member array, String indexes) {
    if (!indexes.endsWith("]")) {
      return null;
    }
    Member at = array;
    for (String index : indexes.substring(1, indexes.length() - 1).split("]\\[", -1)) {
      int type = btf.resolve(at.type());
      if (btf.kind(type) != Btf.ARRAY || !index.matches("\\d{1,9}")) {
        return null;
      }
      long number = Long.parseLong(index);
      if (btf.elements(type) != 0 && number >= btf.elements(type)) {
        return null;
      }
      int element = btf.element(type);
      at = new Member(number * btf.size(element) * Byte.SIZE, element, 0).in(at.bitOffset());
    }
    return at;
  }

  private @Nullable Member member(int struct, String name, int depth, Budget budget) {
    if (!btf.isStruct(struct) || name.isEmpty()) {
      return null;
    }
    if (depth == 0) {
      throw endless(btf.name(struct));
    }
    for (int i = 0; i < btf.length(struct); i++) {
      if (budget.isSpent()) {
        throw endless(btf.name(struct));
      }
      String found = btf.memberName(struct, i);
      if (found.equals(name)) {
        return new Member(
            btf.memberBitOffset(struct, i), btf.memberType(struct, i), btf.memberBits(struct, i));
      }
      if (found.isEmpty()) {
        Member inner = member(btf.resolve(btf.memberType(struct, i)), name, depth - 1, budget);
        if (inner != null) {
          return inner.in(btf.memberBitOffset(struct, i));
        }
      }
    }
    return null;
  }

  private BadInputException endless(String struct) {
    return new BadInputException(
        "%s: expected structs of BTF at most %d deep, found deeper ones in %s"
            .formatted(file, DEEPEST, Bytes.printable(struct)));
  }
}
