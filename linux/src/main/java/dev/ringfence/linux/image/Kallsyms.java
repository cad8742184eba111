package dev.ringfence.linux.image;

import dev.ringfence.linux.image.ElfFile.Segment;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.machine.input.Bytes;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The symbols that a kernel keeps of itself (CONFIG_KALLSYMS; Linux, scripts/kallsyms.c and
 * kernel/kallsyms.c). Nothing in the file says where the tables lie; they are found by what they
 * contain and accepted only if they agree with each other:
 *
 * <ul>
 *   <li>token_table: 256 texts, among them each digit at its own ASCII code; behind it token_index,
 *       the 16-bit offset of each text;
 *   <li>names: for each symbol a length (one byte, or two in ULEB128) and as many tokens;
 *   <li>markers: the offset in names of every 256th symbol;
 *   <li>num_syms: directly before names;
 *   <li>offsets: one 32-bit number for each symbol, with relative_base behind it.
 * </ul>
 *
 * Linux 5.10 to 6.3 has offsets, relative_base, num_syms, names, markers, (6.2 and 6.3:
 * seqs_of_names,) token_table, token_index; later ones num_syms, names, markers, token_table,
 * token_index, offsets, relative_base, seqs_of_names. In 7.2 offsets are relative to themselves,
 * tables are aligned to 4 bytes, and there is no relative_base.
 */
final class Kallsyms {
  private static final int TOKENS = 256;
  private static final int SYMBOLS_OF_MARKER = 256;

  /** Ten times what allyesconfig has. */
  private static final int MOST_SYMBOLS = 20_000_000;

  /** The longest name in bytes, its type included; the kernel's KSYM_NAME_LEN is 512. */
  private static final int LONGEST_NAME = 2048;

  /** Letters of a broken name in a message. */
  private static final int SHOWN = 40;

  /** A marker is at least 2 bytes a symbol behind the one before it. */
  private static final int SMALLEST_STEP = 2 * SYMBOLS_OF_MARKER;

  private static final int LARGEST_STEP = 600 * SYMBOLS_OF_MARKER;

  /** Kernels are linked into the last 2 GiB. */
  private static final long LOWEST_BASE = 0xffffffff80000000L;

  /**
   * Steps of the search after which it gives up. Real kernels need less than a tenth; a file made
   * to look like tables everywhere would need hours.
   */
  private static final long MOST_STEPS = 400_000_000;

  private static final byte[] DIGITS = digits();

  private final ElfFile elf;
  private final Bytes data;
  private final long address;

  private int tokenTable;
  private int tokenIndex;
  private int count;
  private int countAt;
  private int names;
  private long steps;

  private Kallsyms(ElfFile elf, Segment segment) {
    this.elf = elf;
    this.data = segment.content();
    this.address = segment.address();
  }

  /**
   * Finds and reads the symbols.
   *
   * @return null if the file has no tables, or none that agree with each other
   */
  static @Nullable List<Symbol> read(ElfFile elf) {
    for (Segment segment : elf.segments()) {
      List<Symbol> symbols = new Kallsyms(elf, segment).read();
      if (symbols != null) {
        return symbols;
      }
    }
    return null;
  }

  private static byte[] digits() {
    byte[] digits = new byte[20];
    for (int i = 0; i < 10; i++) {
      digits[2 * i] = (byte) ('0' + i);
    }
    return digits;
  }

  private @Nullable List<Symbol> read() {
    for (int at = data.indexOf(DIGITS, 0);
        at >= 0 && steps < MOST_STEPS;
        at = data.indexOf(DIGITS, at + 1)) {
      if (findTokens(at)) {
        List<Symbol> symbols = readBefore();
        if (symbols != null) {
          return symbols;
        }
      }
    }
    return null;
  }

  /** Whether the token that is the digit 0 at this place is part of a token table. */
  private boolean findTokens(int zero) {
    long end = zero;
    for (int token = '0'; token < TOKENS; token++) {
      long start = end;
      while (data.holds(end, 1) && data.u8(end) != 0 && end - start <= LONGEST_NAME) {
        end++;
      }
      steps += ++end - start;
    }
    for (int alignment = 8; alignment >= 4; alignment -= 4) {
      long index = align(end, alignment);
      if (data.holds(index, 2 * TOKENS)) {
        int table = zero - data.u16(index + 2 * '0');
        if (table >= 0 && table % 4 == 0 && indexFits(table, (int) index)) {
          tokenTable = table;
          tokenIndex = (int) index;
          return true;
        }
      }
    }
    return false;
  }

  private boolean indexFits(int table, int index) {
    int at = table;
    for (int token = 0; token < TOKENS; token++) {
      if (data.u16(index + 2 * token) != at - table) {
        return false;
      }
      while (data.u8(at) != 0) {
        at++;
      }
      at++;
    }
    return true;
  }

  /** Looks for markers before the token table, the nearest first. */
  private @Nullable List<Symbol> readBefore() {
    for (int at = tokenTable - 8 & -4; at >= 0 && steps < MOST_STEPS; at -= 4) {
      steps++;
      if (data.s32(at) == 0 && isStep(data.u32(at + 4))) {
        int run = 2;
        while (at + 4 * run + 4 <= tokenTable
            && isStep(data.u32(at + 4L * run) - data.u32(at + 4L * run - 4))) {
          run++;
        }
        if (findNames(at, run)) {
          List<Symbol> symbols = readSymbols();
          if (symbols != null) {
            return symbols;
          }
        }
      }
    }
    return null;
  }

  private static boolean isStep(long step) {
    return step >= SMALLEST_STEP && step <= LARGEST_STEP;
  }

  /**
   * Looks for num_syms and names before markers.
   *
   * @param run the most markers that there can be; what follows them may look like one
   */
  private boolean findNames(int markers, int run) {
    for (int used = run; used >= Math.max(2, run - 1); used--) {
      long last = data.u32(markers + 4L * (used - 1));
      long lowest = Math.max(0, markers - last - LARGEST_STEP - 16);
      for (long at = (markers - last - 8) & -4; at >= lowest && steps < MOST_STEPS; at -= 4) {
        steps++;
        long symbols = data.u32(at);
        if ((symbols + SYMBOLS_OF_MARKER - 1) / SYMBOLS_OF_MARKER == used
            && symbols <= MOST_SYMBOLS) {
          for (long start = at + 4; start <= at + 8; start += 4) {
            if (namesFit(start, (int) symbols, markers)) {
              count = (int) symbols;
              countAt = (int) at;
              names = (int) start;
              return true;
            }
          }
        }
      }
    }
    return false;
  }

  private boolean namesFit(long start, int symbols, int markers) {
    long at = start;
    for (int i = 0; i < symbols; i++) {
      if (i % SYMBOLS_OF_MARKER == 0
          && at - start != data.u32(markers + 4L * (i / SYMBOLS_OF_MARKER))) {
        return false;
      }
      steps++;
      int length = nameLength(at);
      at += length + (length > 0x7f ? 2 : 1);
      if (length == 0 || at > markers) {
        return false;
      }
    }
    return markers - at < 8;
  }

  /** Number of tokens of the name at an offset. */
  private int nameLength(long at) {
    int length = data.u8(at);
    return length < 0x80 ? length : length & 0x7f | data.u8(at + 1) << 7;
  }

  private @Nullable List<Symbol> readSymbols() {
    long[] addresses = addresses();
    if (addresses == null) {
      return null;
    }
    String[] tokens = new String[TOKENS];
    for (int token = 0; token < TOKENS; token++) {
      tokens[token] = data.string(tokenTable + data.u16(tokenIndex + 2L * token));
    }
    List<Symbol> symbols = new ArrayList<>(count);
    StringBuilder name = new StringBuilder();
    long at = names;
    for (int i = 0; i < count; i++) {
      int length = nameLength(at);
      at += length > 0x7f ? 2 : 1;
      name.setLength(0);
      for (int k = 0; k < length && name.length() <= LONGEST_NAME; k++) {
        name.append(tokens[data.u8(at + k)]);
      }
      at += length;
      if (name.length() < 2
          || name.length() > LONGEST_NAME
          || name.chars().anyMatch(letter -> letter <= ' ' || letter > '~')) {
        throw data.broken(
            at - length,
            "a symbol's type and name of 2 to %d letters".formatted(LONGEST_NAME),
            "%d characters: %s"
                .formatted(
                    name.length(),
                    Bytes.printable(name.substring(0, Math.min(SHOWN, name.length())))));
      }
      symbols.add(new Symbol(name.substring(1), addresses[i], name.charAt(0)));
    }
    return symbols;
  }

  /** Addresses of all symbols, null if no layout of the tables gives rising ones. */
  private long @Nullable [] addresses() {
    long size = 4L * count;
    // The index of tokens is a multiple of 8 long, and is aligned as offsets are.
    long behind = tokenIndex + 2L * TOKENS;
    // Up to 6.3, before num_syms; then behind the tokens.
    long[] starts = {countAt - 8 - align(size, 8), behind};
    for (long offsets : starts) {
      long baseAt = align(offsets + size, 8);
      if (offsets >= 0 && data.holds(baseAt, 8)) {
        long base = data.s64(baseAt);
        if (Long.compareUnsigned(base, LOWEST_BASE) >= 0) {
          long[] addresses = relativeToBase(offsets, base);
          if (addresses != null) {
            return addresses;
          }
        }
      }
    }
    return data.holds(behind, size) ? relativeToSelf(behind) : null;
  }

  private long @Nullable [] relativeToBase(long offsets, long base) {
    int negative = 0;
    for (int i = 0; i < count; i++) {
      if (data.s32(offsets + 4L * i) < 0) {
        negative++;
      }
    }
    // With CONFIG_KALLSYMS_ABSOLUTE_PERCPU a negative number is relative, others are absolute.
    // Without, all are relative, and a kernel is not large enough for one above 2^31.
    boolean absolutePerCpu = negative > 0;
    long[] addresses = new long[count];
    for (int i = 0; i < count; i++) {
      int offset = data.s32(offsets + 4L * i);
      if (absolutePerCpu) {
        addresses[i] = offset >= 0 ? offset : base - 1 - offset;
      } else {
        addresses[i] = base + offset;
      }
    }
    return areRising(addresses) ? addresses : null;
  }

  private long @Nullable [] relativeToSelf(long offsets) {
    long[] addresses = new long[count];
    for (int i = 0; i < count; i++) {
      addresses[i] = address + offsets + 4L * i + data.s32(offsets + 4L * i);
    }
    return areRising(addresses) ? addresses : null;
  }

  /** Symbols are sorted by address, and most of them lie in the image. */
  private boolean areRising(long[] addresses) {
    int inside = 0;
    for (int i = 0; i < addresses.length; i++) {
      if (i > 0 && Long.compareUnsigned(addresses[i - 1], addresses[i]) > 0) {
        return false;
      }
      if (inImage(addresses[i])) {
        inside++;
      }
    }
    return inside > addresses.length / 2;
  }

  private boolean inImage(long linear) {
    for (Segment segment : elf.segments()) {
      long offset = linear - segment.address();
      if (offset >= 0 && offset < segment.memorySize()) {
        return true;
      }
    }
    return false;
  }

  private static long align(long offset, int alignment) {
    return offset + alignment - 1 & -alignment;
  }
}
