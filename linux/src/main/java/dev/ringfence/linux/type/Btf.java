package dev.ringfence.linux.type;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.Bytes;
import java.util.Arrays;

/**
 * The records of a BTF section (Linux, Documentation/bpf/btf.rst), with every number checked that
 * leads from one to another.
 */
final class Btf {
  static final int INT = 1;
  static final int PTR = 2;
  static final int ARRAY = 3;
  static final int STRUCT = 4;
  static final int UNION = 5;
  static final int ENUM = 6;
  static final int FWD = 7;
  static final int TYPEDEF = 8;
  static final int VOLATILE = 9;
  static final int CONST = 10;
  static final int RESTRICT = 11;
  static final int FUNC = 12;
  static final int FUNC_PROTO = 13;
  static final int VAR = 14;
  static final int DATASEC = 15;
  static final int FLOAT = 16;
  static final int DECL_TAG = 17;
  static final int TYPE_TAG = 18;
  static final int ENUM64 = 19;

  static final int POINTER_SIZE = 8;

  private static final int MAGIC = 0xeb9f;
  private static final int HEADER_SIZE = 24;
  private static final int TYPE_SIZE = 12;
  private static final int MEMBER_SIZE = 12;

  /** Typedefs and qualifiers in a row; C code has a handful. */
  private static final int LONGEST_CHAIN = 64;

  private final Bytes types;
  private final Bytes strings;

  /** Offset in {@link #types} of each type; type 0 is void and has no record. */
  private final int[] offsets;

  private final int count;

  /** Whether enums say if they are signed, which they do since Linux 6.0. */
  private final boolean saysSign;

  Btf(Bytes section) {
    section.require(0, HEADER_SIZE, "BTF header");
    if (section.u16(0) != MAGIC || section.u8(2) != 1) {
      throw section.broken(
          0,
          "BTF of version 1 (9f eb 01)",
          "bytes %02x %02x %02x".formatted(section.u8(0), section.u8(1), section.u8(2)));
    }
    long headerSize = section.u32(4);
    types = section.slice(headerSize + section.u32(8), section.u32(12), "types of BTF");
    strings = section.slice(headerSize + section.u32(16), section.u32(20), "strings of BTF");
    if (strings.length() == 0 || strings.u8(strings.length() - 1L) != 0) {
      throw strings.broken(
          Math.max(0, strings.length() - 1L), "strings that end with a zero byte", "none");
    }
    int[] found = new int[types.length() / TYPE_SIZE + 1];
    int next = 1;
    boolean signedEnum = false;
    long at = 0;
    while (at < types.length()) {
      types.require(at, TYPE_SIZE, "type of BTF");
      int info = types.s32(at + 4);
      signedEnum |= info < 0 && (info >>> 24 & 0x1f) == ENUM;
      found[next++] = (int) at;
      at += recordSize(at);
    }
    types.require(0, at, "types of BTF");
    count = next;
    saysSign = signedEnum;
    offsets = Arrays.copyOf(found, count);
  }

  private long recordSize(long at) {
    int info = types.s32(at + 4);
    long length = info & 0xffff;
    int kind = info >>> 24 & 0x1f;
    return TYPE_SIZE
        + switch (kind) {
          case INT, VAR, DECL_TAG -> 4;
          case ARRAY -> 12;
          case STRUCT, UNION, DATASEC, ENUM64 -> 12 * length;
          case ENUM, FUNC_PROTO -> 8 * length;
          case PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG -> 0;
          default ->
              throw types.broken(at + 4, "a kind of BTF type of 1 to 19", Integer.toString(kind));
        };
  }

  /** Number of types, void included; valid types are 0 to one less. */
  int count() {
    return count;
  }

  int kind(int type) {
    return type == 0 ? 0 : types.s32(offsets[type] + 4L) >>> 24 & 0x1f;
  }

  /** Number of members, enumerators or parameters. */
  int length(int type) {
    return types.u16(offsets[type] + 4L);
  }

  String name(int type) {
    return type == 0 ? "void" : string(offsets[type]);
  }

  private String string(long at) {
    long offset = types.u32(at);
    if (offset >= strings.length()) {
      throw types.broken(
          at,
          "an offset of a string below 0x%x".formatted(strings.length()),
          "0x%x".formatted(offset));
    }
    return strings.string(offset);
  }

  private boolean kindFlag(int type) {
    return types.s32(offsets[type] + 4L) < 0;
  }

  /** The size word of a struct, union, enum, number. */
  private long sizeWord(int type) {
    return types.u32(offsets[type] + 8L);
  }

  private int typeAt(long at) {
    long type = types.u32(at);
    if (type >= count) {
      throw types.broken(at, "a type of BTF below " + count, Long.toString(type));
    }
    return (int) type;
  }

  /** The type that typedefs and qualifiers stand for. */
  int resolve(int type) {
    int resolved = type;
    for (int i = 0; i < LONGEST_CHAIN; i++) {
      switch (kind(resolved)) {
        case TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG ->
            resolved = typeAt(offsets[resolved] + 8L);
        default -> {
          return resolved;
        }
      }
    }
    throw types.broken(
        offsets[type],
        "typedefs and qualifiers that lead to a type",
        "more than %d in a row".formatted(LONGEST_CHAIN));
  }

  boolean isStruct(int type) {
    int kind = kind(type);
    return kind == STRUCT || kind == UNION;
  }

  /** Size in bytes; 0 for void, functions and structs that are only declared. */
  long size(int type) {
    long factor = 1;
    int element = resolve(type);
    for (int i = 0; i < LONGEST_CHAIN; i++) {
      switch (kind(element)) {
        case ARRAY -> {
          factor *= elements(element);
          if (factor > Integer.MAX_VALUE) {
            throw tooLarge(type);
          }
          element = resolve(element(element));
        }
        case INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC -> {
          long size = factor * sizeWord(element);
          if (size > Integer.MAX_VALUE) {
            throw tooLarge(type);
          }
          return size;
        }
        case PTR -> {
          return Math.multiplyExact(factor, POINTER_SIZE);
        }
        default -> {
          return 0;
        }
      }
    }
    throw types.broken(
        offsets[type],
        "an array of BTF with at most %d dimensions".formatted(LONGEST_CHAIN),
        "more, or one of itself");
  }

  private BadInputException tooLarge(int type) {
    return types.broken(offsets[type], "a type smaller than 2 GiB", "a larger one");
  }

  /** Type of an array's elements. */
  int element(int array) {
    return typeAt(offsets[array] + 12L);
  }

  /** Number of an array's elements; 0 for one of unknown length. */
  long elements(int array) {
    return types.u32(offsets[array] + 20L);
  }

  private long member(int struct, int index) {
    return offsets[struct] + TYPE_SIZE + (long) index * MEMBER_SIZE;
  }

  String memberName(int struct, int index) {
    return string(member(struct, index));
  }

  int memberType(int struct, int index) {
    return typeAt(member(struct, index) + 4);
  }

  /** Offset in bits from the start of the struct. */
  long memberBitOffset(int struct, int index) {
    long word = types.u32(member(struct, index) + 8);
    return kindFlag(struct) ? word & 0xffffff : word;
  }

  /** Width in bits of a bit field, 0 for other members. */
  int memberBits(int struct, int index) {
    if (kindFlag(struct)) {
      return types.u8(member(struct, index) + 11);
    }
    int type = resolve(memberType(struct, index));
    if (kind(type) == INT) {
      // Without the flag, a bit field has an int type of its own with fewer bits than its size.
      int bits = types.u8(offsets[type] + TYPE_SIZE);
      return bits < 8 * sizeWord(type) ? bits : 0;
    }
    return 0;
  }

  String enumeratorName(int type, int index) {
    return string(enumerator(type, index));
  }

  private long enumerator(int type, int index) {
    return offsets[type] + TYPE_SIZE + (long) index * (kind(type) == ENUM64 ? 12 : 8);
  }

  long enumeratorValue(int type, int index) {
    long at = enumerator(type, index) + 4;
    if (kind(type) == ENUM64) {
      return types.s64(at);
    }
    return kindFlag(type) || !saysSign ? types.s32(at) : types.u32(at);
  }
}
