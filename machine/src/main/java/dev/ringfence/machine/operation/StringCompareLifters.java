package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import java.util.Map;

/**
 * The string and text instructions of SSE4.2 (PCMPxSTRx, CRC32) and POPCNT. SDM volume 2, section
 * 4.1, names the parts of the immediate and the intermediate results.
 */
final class StringCompareLifters {
  private static final int EQUAL_ANY = 0;
  private static final int RANGES = 1;
  private static final int EQUAL_EACH = 2;

  private static final int[] CRC32C = crcTable();

  private StringCompareLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("PCMPESTRI", (emitter, i) -> compare(emitter, i, true, true));
    lifters.put("PCMPESTRM", (emitter, i) -> compare(emitter, i, true, false));
    lifters.put("PCMPISTRI", (emitter, i) -> compare(emitter, i, false, true));
    lifters.put("PCMPISTRM", (emitter, i) -> compare(emitter, i, false, false));
    lifters.put("CRC32", StringCompareLifters::crc32);
    lifters.put("POPCNT", StringCompareLifters::populationCount);
  }

  private static void compare(Emitter emitter, Instruction i, boolean explicit, boolean index) {
    emitter.requireVector();
    int second = VectorOperands.source(emitter, i, false);
    boolean wide = i.rexW();
    MicroOperation operation =
        emitter.stateHelper((state, o) -> {
          long[] r = state.r;
          int control = (int) o.immediate;
          int elements = (control & 1) == 0 ? 16 : 8;
          int length1;
          int length2;
          if (explicit) {
            length1 = explicitLength(r[Slot.RAX], wide, elements);
            length2 = explicitLength(r[Slot.RDX], wide, elements);
          } else {
            length1 = implicitLength(r, o.first, elements);
            length2 = implicitLength(r, o.second, elements);
          }
          int result = intermediate(r, o.first, o.second, length1, length2, control);
          setFlags(state, result, length1, length2, elements);
          if (index) {
            storeIndex(r, result, control, elements);
          } else {
            storeMask(r, result, control, elements);
          }
        });
    operation.first = VectorOperands.vector(i);
    operation.second = second;
    operation.immediate = i.immediate();
  }

  private static int explicitLength(long value, boolean wide, int elements) {
    long length = wide ? value : (int) value;
    // The absolute value of the smallest number is itself, and saturates like any large one.
    return length >= elements || length <= -elements ? elements : (int) Math.abs(length);
  }

  private static int implicitLength(long[] r, int slot, int elements) {
    int length = 0;
    while (length < elements && element(r, slot, length, elements, false) != 0) {
      length++;
    }
    return length;
  }

  private static int element(long[] r, int slot, int n, int elements, boolean signed) {
    if (elements == 16) {
      int value = (int) (r[slot + (n >>> 3)] >>> 8 * (n & 7)) & 0xff;
      return signed ? (byte) value : value;
    }
    int value = (int) (r[slot + (n >>> 2)] >>> 16 * (n & 3)) & 0xffff;
    return signed ? (short) value : value;
  }

  /** IntRes2: the aggregated comparison after polarity. */
  private static int intermediate(
      long[] r, int slot1, int slot2, int length1, int length2, int control) {
    int elements = (control & 1) == 0 ? 16 : 8;
    boolean signed = (control & 2) != 0;
    int aggregation = control >>> 2 & 3;
    int result = 0;
    for (int j = 0; j < elements; j++) {
      boolean bit =
          switch (aggregation) {
            case EQUAL_ANY -> j < length2 && any(r, slot1, slot2, length1, j, elements);
            case RANGES -> j < length2 && inRange(r, slot1, slot2, length1, j, elements, signed);
            case EQUAL_EACH ->
                j < length1 && j < length2
                    ? element(r, slot1, j, elements, false) == element(r, slot2, j, elements, false)
                    : j >= length1 && j >= length2;
            default -> ordered(r, slot1, slot2, length1, length2, j, elements);
          };
      result |= bit ? 1 << j : 0;
    }
    int all = (1 << elements) - 1;
    return switch (control >>> 4 & 3) {
      case 1 -> ~result & all;
      case 3 -> result ^ (1 << length2) - 1;
      default -> result;
    };
  }

  private static boolean any(long[] r, int slot1, int slot2, int length1, int j, int elements) {
    int wanted = element(r, slot2, j, elements, false);
    for (int i = 0; i < length1; i++) {
      if (element(r, slot1, i, elements, false) == wanted) {
        return true;
      }
    }
    return false;
  }

  private static boolean inRange(
      long[] r, int slot1, int slot2, int length1, int j, int elements, boolean signed) {
    int value = element(r, slot2, j, elements, signed);
    for (int i = 0; i + 1 < length1; i += 2) {
      if (element(r, slot1, i, elements, signed) <= value
          && value <= element(r, slot1, i + 1, elements, signed)) {
        return true;
      }
    }
    return false;
  }

  /** Whether the first string, up to its end, stands at place j of the second. */
  private static boolean ordered(
      long[] r, int slot1, int slot2, int length1, int length2, int j, int elements) {
    for (int i = 0; i < length1 && i + j < elements; i++) {
      if (i + j >= length2
          || element(r, slot1, i, elements, false) != element(r, slot2, i + j, elements, false)) {
        return false;
      }
    }
    return true;
  }

  private static void setFlags(
      ProcessorState state, int result, int length1, int length2, int elements) {
    state.setStatusFlags(
        (result != 0 ? Flags.CF : 0)
            | (length2 < elements ? Flags.ZF : 0)
            | (length1 < elements ? Flags.SF : 0)
            | ((result & 1) != 0 ? Flags.OF : 0));
  }

  private static void storeIndex(long[] r, int result, int control, int elements) {
    if (result == 0) {
      r[Slot.RCX] = elements;
    } else if ((control & 0x40) == 0) {
      r[Slot.RCX] = Integer.numberOfTrailingZeros(result);
    } else {
      r[Slot.RCX] = 31 - Integer.numberOfLeadingZeros(result);
    }
  }

  private static void storeMask(long[] r, int result, int control, int elements) {
    int slot = Slot.vector(0);
    if ((control & 0x40) == 0) {
      r[slot] = result;
      r[slot + 1] = 0;
      return;
    }
    int width = 128 / elements;
    int half = elements / 2;
    r[slot] = 0;
    r[slot + 1] = 0;
    for (int j = 0; j < elements; j++) {
      if ((result >>> j & 1) != 0) {
        r[slot + j / half] |= (1L << width) - 1 << width * (j % half);
      }
    }
  }

  private static int[] crcTable() {
    int[] table = new int[256];
    for (int n = 0; n < 256; n++) {
      int value = n;
      for (int bit = 0; bit < 8; bit++) {
        // 11EDC6F41H with its bits reversed.
        value = value >>> 1 ^ ((value & 1) != 0 ? 0x82f63b78 : 0);
      }
      table[n] = value;
    }
    return table;
  }

  private static void crc32(Emitter emitter, Instruction i) {
    int width = i.definition().operands().get(1).width(i.operandWidth());
    int second = VectorOperands.generalSource(emitter, i, width);
    MicroOperation operation =
        emitter.stateHelper((state, o) -> {
          int crc = (int) state.r[o.destination];
          long value = state.r[o.second];
          for (int bit = 0; bit < 64 - o.shift; bit += 8) {
            crc = crc >>> 8 ^ CRC32C[(crc ^ (int) (value >>> bit)) & 0xff];
          }
          state.r[o.destination] = crc & 0xffff_ffffL;
        });
    operation.destination = i.reg();
    operation.second = second;
    operation.shift = 64 - width;
  }

  private static void populationCount(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    int second = VectorOperands.generalSource(emitter, i, width);
    MicroOperation operation =
        emitter.stateHelper((state, o) -> {
          int count = Long.bitCount(state.r[o.second] << o.shift);
          state.setStatusFlags(count == 0 ? Flags.ZF : 0);
          state.r[o.destination] = state.r[o.destination] & o.keep | count;
        });
    operation.destination = i.reg();
    operation.second = second;
    operation.shift = 64 - width;
    operation.keep = Emitter.keep(width);
  }
}
