package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorState;

/** Helpers that rearrange elements of XMM registers. Fields: destination, second, immediate. */
final class ShuffleHelpers {
  private static final long LOW32 = 0xffff_ffffL;

  private ShuffleHelpers() {}

  static void mergeLowDoubleword(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    r[d] = r[d] & ~LOW32 | r[operation.second] & LOW32;
  }

  /** Doubleword {@code choice} (two bits) of two quadwords. */
  static long doubleword(long low, long high, int choice) {
    return ((choice & 2) == 0 ? low : high) >>> 32 * (choice & 1) & LOW32;
  }

  static void shuffleDoublewords(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int order = (int) operation.immediate;
    long low = r[operation.second];
    long high = r[operation.second + 1];
    r[operation.destination] =
        doubleword(low, high, order) | doubleword(low, high, order >>> 2) << 32;
    r[operation.destination + 1] =
        doubleword(low, high, order >>> 4) | doubleword(low, high, order >>> 6) << 32;
  }

  static void shuffleHighWords(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    long low = r[operation.second];
    r[operation.destination + 1] =
        Packed.shuffleWords(r[operation.second + 1], (int) operation.immediate);
    r[operation.destination] = low;
  }

  static void shuffleLowWords(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    long high = r[operation.second + 1];
    r[operation.destination] = Packed.shuffleWords(r[operation.second], (int) operation.immediate);
    r[operation.destination + 1] = high;
  }

  static void shuffleSingles(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int order = (int) operation.immediate;
    long aLow = r[d];
    long aHigh = r[d + 1];
    long bLow = r[operation.second];
    long bHigh = r[operation.second + 1];
    r[d] = doubleword(aLow, aHigh, order) | doubleword(aLow, aHigh, order >>> 2) << 32;
    r[d + 1] = doubleword(bLow, bHigh, order >>> 4) | doubleword(bLow, bHigh, order >>> 6) << 32;
  }

  static void shuffleDoubles(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int order = (int) operation.immediate;
    long high = r[operation.second + (order >>> 1 & 1)];
    r[d] = r[d + (order & 1)];
    r[d + 1] = high;
  }

  static void duplicateEvenSingles(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    long low = r[operation.second] & LOW32;
    long high = r[operation.second + 1] & LOW32;
    r[operation.destination] = low | low << 32;
    r[operation.destination + 1] = high | high << 32;
  }

  static void duplicateOddSingles(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    long low = r[operation.second] >>> 32;
    long high = r[operation.second + 1] >>> 32;
    r[operation.destination] = low | low << 32;
    r[operation.destination + 1] = high | high << 32;
  }

  static void shiftLeftBytes(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int count = Math.min((int) operation.immediate & 0xff, 16);
    long low = r[d];
    long high = r[d + 1];
    // The bytes that enter from the right are zero: take the quadwords of high:low:0:0.
    r[d + 1] = count > 8 ? low << 8 * (count - 8) : Packed.bytesAt(low, high, 8 - count);
    r[d] = count >= 8 ? 0 : low << 8 * count;
    if (count == 16) {
      r[d + 1] = 0;
    }
  }

  static void shiftRightBytes(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int count = (int) operation.immediate & 0xff;
    long low = r[d];
    long high = r[d + 1];
    r[d] = count > 15 ? 0 : Packed.bytesAt(low, high, count);
    r[d + 1] = count > 7 ? 0 : high >>> 8 * count;
  }

  /** PALIGNR: 16 bytes of destination:source from a byte offset. */
  static void alignRight(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int offset = (int) operation.immediate & 0xff;
    long s0 = r[operation.second];
    long s1 = r[operation.second + 1];
    long d0 = r[d];
    long d1 = r[d + 1];
    if (offset >= 32) {
      r[d] = 0;
      r[d + 1] = 0;
    } else if (offset >= 16) {
      r[d] = Packed.bytesAt(d0, d1, offset - 16);
      r[d + 1] = offset >= 24 ? 0 : d1 >>> 8 * (offset - 16);
    } else {
      boolean upper = offset >= 8;
      r[d] = upper ? Packed.bytesAt(s1, d0, offset - 8) : Packed.bytesAt(s0, s1, offset);
      r[d + 1] = upper ? Packed.bytesAt(d0, d1, offset - 8) : Packed.bytesAt(s1, d0, offset);
    }
  }

  /** PALIGNR of MMX registers. */
  static void alignRightMmx(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int offset = (int) operation.immediate & 0xff;
    r[d] = offset >= 16 ? 0 : Packed.bytesAt(r[operation.second], r[d], offset);
    VectorOperands.mmxWritten(state, d);
  }

  /** BLENDPS: bit n of the immediate takes doubleword n of the source. */
  static void blendSingles(ProcessorState state, MicroOperation operation) {
    int bits = (int) operation.immediate;
    blend(state, operation, mask(bits, 2, 32), mask(bits >>> 2, 2, 32));
  }

  static void blendDoubles(ProcessorState state, MicroOperation operation) {
    int bits = (int) operation.immediate;
    blend(state, operation, -(bits & 1L), -(bits >>> 1 & 1L));
  }

  static void blendWords(ProcessorState state, MicroOperation operation) {
    int bits = (int) operation.immediate;
    blend(state, operation, mask(bits, 4, 16), mask(bits >>> 4, 4, 16));
  }

  private static long mask(int bits, int count, int width) {
    long mask = 0;
    for (int i = 0; i < count; i++) {
      mask |= (bits >>> i & 1L) * ((1L << width) - 1) << width * i;
    }
    return mask;
  }

  /** Source elements whose top bit in XMM0 (first) is set; high is the mask of top bits. */
  static void blendVariable(ProcessorState state, MicroOperation operation, long high) {
    long[] r = state.r;
    int width = high == Packed.HIGH8 ? 8 : high == Packed.HIGH32 ? 32 : 64;
    long low = r[operation.first] & high;
    long top = r[operation.first + 1] & high;
    blend(state, operation, (low << 1) - (low >>> width - 1), (top << 1) - (top >>> width - 1));
  }

  private static void blend(ProcessorState state, MicroOperation operation, long low, long high) {
    long[] r = state.r;
    int d = operation.destination;
    r[d] = r[d] & ~low | r[operation.second] & low;
    r[d + 1] = r[d + 1] & ~high | r[operation.second + 1] & high;
  }

  /**
   * INSERTPS: bits 7:6 of the immediate choose the source, 5:4 the place, 3:0 what becomes zero.
   */
  static void insertSingle(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int control = (int) operation.immediate;
    long value = doubleword(r[operation.second], r[operation.second + 1], control >>> 6);
    int place = control >>> 4 & 3;
    int slot = d + (place >>> 1);
    int shift = 32 * (place & 1);
    r[slot] = r[slot] & ~(LOW32 << shift) | value << shift;
    r[d] &= ~mask(control, 2, 32);
    r[d + 1] &= ~mask(control >>> 2, 2, 32);
  }

  /** MPSADBW: eight sums of absolute differences. */
  static void multipleSums(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int control = (int) operation.immediate;
    int base = control & 4;
    int block = (int) (r[operation.second + (control >>> 1 & 1)] >>> 32 * (control & 1));
    long a0 = r[d];
    long a1 = r[d + 1];
    long low = 0;
    long high = 0;
    for (int i = 0; i < 4; i++) {
      long window = Packed.bytesAt(a0, a1, base + i);
      low |= (long) Packed.sumOfAbsoluteDifferences4(window, block) << 16 * i;
      window = Packed.bytesAt(a0, a1, base + i + 4);
      high |= (long) Packed.sumOfAbsoluteDifferences4(window, block) << 16 * i;
    }
    r[d] = low;
    r[d + 1] = high;
  }

  /** PHMINPOSUW: the smallest word and its index. */
  static void minimumPosition(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    long best = 0x10000;
    long index = 0;
    for (int i = 0; i < 8; i++) {
      long word = r[operation.second + (i >>> 2)] >>> 16 * (i & 3) & 0xffff;
      if (word < best) {
        best = word;
        index = i;
      }
    }
    r[operation.destination] = best | index << 16;
    r[operation.destination + 1] = 0;
  }
}
