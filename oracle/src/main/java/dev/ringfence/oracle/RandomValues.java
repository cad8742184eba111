package dev.ringfence.oracle;

/**
 * Random numbers that favour the edges where instructions go wrong. The generator is SplitMix64
 * (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): a case can be made
 * again from its number alone.
 */
final class RandomValues {
  private static final long GOLDEN = 0x9e3779b97f4a7c15L;

  private static final int[] SINGLES = {
    0x00000000,
    0x80000000, // zeros
    0x00000001,
    0x80000001,
    0x007fffff,
    0x807fffff,
    0x00400000,
    0x00000800, // denormals
    0x00800000,
    0x80800000,
    0x00800001,
    0x7f7fffff,
    0xff7fffff,
    0x7f000000, // limits of normals
    0x7f800000,
    0xff800000, // infinities
    0x7fc00000,
    0xffc00000,
    0x7fffffff,
    0xffc12345, // quiet NaNs
    0x7f800001,
    0xff800001,
    0x7fbfffff,
    0x7fa00000, // signaling NaNs
    0x3f800000,
    0xbf800000,
    0x3f000000,
    0xbf000000,
    0x3fc00000,
    0x40200000,
    0xc0200000, // halves
    0x3effffff,
    0x3f000001,
    0x3f7fffff,
    0x3f800001,
    0x40490fdb,
    0x4b000001,
    0x4affffff,
    0x33800000,
    0x4effffff,
    0x4f000000,
    0xcf000000,
    0xcf000001,
    0x4f800000,
    0x4f7fffff, // 2^31, 2^32
    0x5effffff,
    0x5f000000,
    0xdf000000,
    0xdf000001,
    0x5f800000, // 2^63, 2^64
    0x46fffe00,
    0x47000000,
    0xc7000000,
    0xc7000100,
    0x47800000, // 2^15, 2^16
    0x42fe0000,
    0x43000000,
    0x00ffffff,
    0x01000000,
    0x0d000000,
    0x20000000,
    0x60000000,
  };

  private static final long[] DOUBLES = {
    0x0000000000000000L,
    0x8000000000000000L,
    0x0000000000000001L,
    0x8000000000000001L,
    0x000fffffffffffffL,
    0x800fffffffffffffL,
    0x0008000000000000L,
    0x0000000100000000L,
    0x0010000000000000L,
    0x8010000000000000L,
    0x7fefffffffffffffL,
    0xffefffffffffffffL,
    0x7ff0000000000000L,
    0xfff0000000000000L,
    0x7ff8000000000000L,
    0xfff8000000000000L,
    0x7fffffffffffffffL,
    0xfff8000012345678L,
    0x7ff0000000000001L,
    0xfff0000000000001L,
    0x7ff7ffffffffffffL,
    0x7ff4000000000000L,
    0x3ff0000000000000L,
    0xbff0000000000000L,
    0x3fe0000000000000L,
    0xbfe0000000000000L,
    0x3ff8000000000000L,
    0x4004000000000000L,
    0xc004000000000000L,
    0x3fdfffffffffffffL,
    0x3fe0000000000001L,
    0x3fefffffffffffffL,
    0x3ff0000000000001L,
    0x400921fb54442d18L,
    0x4330000000000001L,
    0x432fffffffffffffL,
    0x3ca0000000000000L,
    0x41dfffffffc00000L,
    0x41dfffffffe00000L,
    0x41e0000000000000L,
    0xc1e0000000000000L,
    0xc1e0000000200000L,
    0xc1e0000000100000L,
    0x41efffffffe00000L,
    0x41f0000000000000L,
    0x43dfffffffffffffL,
    0x43e0000000000000L,
    0xc3e0000000000000L,
    0xc3e0000000000001L,
    0x43f0000000000000L,
    0x40dfffc000000000L,
    0x40e0000000000000L,
    0xc0e0000000000000L,
    0x47efffffe0000000L,
    0x47efffffefffffffL,
    0x47effffff0000000L,
    0x47f0000000000000L, // single max
    0x3810000000000000L,
    0x380fffffe0000000L,
    0x380ffffff0000000L,
    0x36a0000000000000L,
    0x3690000000000000L,
    0x3690000000000001L,
    0x3800000000000000L, // single denormals
  };

  /** Exponent with sign, significand. */
  private static final long[][] EXTENDED = {
    {0x0000, 0L},
    {0x8000, 0L},
    {0x0000, 1L},
    {0x8000, 1L},
    {0x0000, 0x7fffffffffffffffL}, // denormals
    {0x0000, 0x8000000000000000L},
    {0x8000, 0xffffffffffffffffL}, // pseudo-denormals
    {0x0001, 0x8000000000000000L},
    {0x8001, 0x8000000000000000L},
    {0x7ffe, 0xffffffffffffffffL},
    {0xfffe, 0xffffffffffffffffL}, // limits of normals
    {0x7fff, 0x8000000000000000L},
    {0xffff, 0x8000000000000000L}, // infinities
    {0x7fff, 0xc000000000000000L},
    {0xffff, 0xc000000000000000L},
    {0x7fff, 0xffffffffffffffffL},
    {0x7fff, 0x8000000000000001L},
    {0xffff, 0xbfffffffffffffffL}, // signaling NaNs
    {0x7fff, 0x0000000000000000L},
    {0x7fff, 0x4000000000000000L}, // pseudo-infinity, pseudo-NaN
    {0x3fff, 0x0000000000000001L},
    {0x4000, 0x7fffffffffffffffL}, // unnormals
    {0x3fff, 0x8000000000000000L},
    {0xbfff, 0x8000000000000000L}, // one
    {0x3ffe, 0x8000000000000000L},
    {0xbffe, 0x8000000000000000L}, // one half
    {0x3fff, 0xc000000000000000L},
    {0x4000, 0xa000000000000000L},
    {0xc000, 0xa000000000000000L},
    {0x3fff, 0x8000000000000001L},
    {0x3ffe, 0xffffffffffffffffL},
    {0x4000, 0xc90fdaa22168c235L},
    {0x400d, 0xfffe000000000000L},
    {0x400e, 0x8000000000000000L},
    {0xc00e, 0x8000000000000000L},
    {0xc00e, 0x8000800000000000L},
    {0x400d, 0xffff000000000000L}, // 2^15
    {0x401d, 0xfffffffe00000000L},
    {0x401e, 0x8000000000000000L},
    {0xc01e, 0x8000000000000000L},
    {0x401d, 0xffffffff00000000L},
    {0xc01e, 0x8000000080000000L}, // 2^31
    {0x403d, 0xffffffffffffffffL},
    {0x403e, 0x8000000000000000L},
    {0xc03e, 0x8000000000000000L},
    {0x403d, 0xfffffffffffffffeL},
    {0xc03e, 0x8000000000000001L}, // 2^63
    {0x407e, 0xffffff0000000000L},
    {0x407e, 0xffffff8000000000L},
    {0x407f, 0x8000000000000000L},
    {0x3f81, 0x8000000000000000L},
    {0x3f80, 0xffffff0000000000L},
    {0x3f6a, 0x8000000000000000L},
    {0x43fe, 0xfffffffffffff800L},
    {0x43fe, 0xfffffffffffffc00L},
    {0x43ff, 0x8000000000000000L},
    {0x3c01, 0x8000000000000000L},
    {0x3bcd, 0x8000000000000000L},
    {0x3bcc, 0xffffffffffffffffL},
    {0x4038, 0xde0b6b3a763ffff0L},
    {0x403a, 0xde0b6b3a76400000L}, // limits of packed decimals
  };

  private long state;

  RandomValues(long seed) {
    state = seed;
  }

  /** A seed from parts. */
  static long seed(long... parts) {
    long seed = 0;
    for (long part : parts) {
      seed = mix(seed + GOLDEN ^ part);
    }
    return seed;
  }

  private static long mix(long z) {
    z = (z ^ z >>> 30) * 0xbf58476d1ce4e5b9L;
    z = (z ^ z >>> 27) * 0x94d049bb133111ebL;
    return z ^ z >>> 31;
  }

  long next() {
    state += GOLDEN;
    return mix(state);
  }

  /** 0 to {@code bound - 1}. */
  int below(int bound) {
    return (int) ((next() >>> 32) * bound >>> 32);
  }

  /** True once in {@code n} times. */
  boolean oneIn(int n) {
    return below(n) == 0;
  }

  int pick(int... values) {
    return values[below(values.length)];
  }

  /** An integer, sign-extended from one of the operand widths. */
  long integer() {
    return switch (below(16)) {
      case 0 -> 0;
      case 1 -> -1;
      case 2 -> 1;
      case 3 -> 1L << below(64);
      case 4 -> (1L << below(64)) - 1;
      case 5 -> -(1L << below(64));
      case 6 -> pick(0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000);
      case 7 -> limitOfWidth();
      case 8 -> below(256);
      case 9 -> -1L - below(256);
      case 10 -> next() & 0xffffffffL;
      case 11 -> (int) next();
      case 12 -> fewBits();
      default -> next();
    };
  }

  private long fewBits() {
    long value = next();
    value &= next();
    return value & next();
  }

  private long limitOfWidth() {
    return switch (below(8)) {
      case 0 -> 0x7fffffffL;
      case 1 -> 0x80000000L;
      case 2 -> 0xffffffffL;
      case 3 -> 0x100000000L;
      case 4 -> Long.MAX_VALUE;
      case 5 -> Long.MIN_VALUE;
      case 6 -> 0x5555555555555555L;
      default -> 0x8080808080808080L;
    };
  }

  /** A count for a shift of {@code width} bits. */
  int shiftCount(int width) {
    return switch (below(8)) {
      case 0 -> 0;
      case 1 -> 1;
      case 2 -> width - 1;
      case 3 -> width;
      case 4 -> width + 1;
      case 5 -> below(256);
      default -> below(width + 2);
    };
  }

  /** Bits of a single-precision number. */
  int single() {
    return switch (below(8)) {
      case 0, 1, 2, 3 -> SINGLES[below(SINGLES.length)];
      case 4 -> Float.floatToRawIntBits((float) (int) next() / (1 << below(31)));
      case 5 -> (int) next() & 0x807fffff | 120 + below(16) << 23;
      case 6 -> Float.floatToRawIntBits(below(2000) - 1000);
      default -> (int) next();
    };
  }

  /** Bits of a double-precision number. */
  long doubleBits() {
    return switch (below(8)) {
      case 0, 1, 2, 3 -> DOUBLES[below(DOUBLES.length)];
      case 4 -> Double.doubleToRawLongBits((double) next() / (1L << below(63)));
      case 5 -> next() & 0x800fffffffffffffL | (long) (1015 + below(16)) << 52;
      case 6 ->
          oneIn(2)
              ? Double.doubleToRawLongBits(below(2000) - 1000)
              : Double.doubleToRawLongBits(Float.intBitsToFloat(single()));
      default -> next();
    };
  }

  /** Stores a double-extended number of ten bytes. */
  void extended(CaseRecord record, int at) {
    long exponent;
    long significand;
    switch (below(8)) {
      case 0, 1, 2, 3 -> {
        long[] value = EXTENDED[below(EXTENDED.length)];
        exponent = value[0];
        significand = value[1];
      }
      case 4, 5 -> {
        exponent = 0x3fff - 8 + below(80) | below(2) << 15;
        significand = next() | Long.MIN_VALUE;
      }
      case 6 -> {
        exponent = 0x3fff - 4 + below(8) | below(2) << 15;
        significand = next() << below(64) | Long.MIN_VALUE;
      }
      default -> {
        exponent = next() & 0xffff;
        significand = next() | (oneIn(16) ? 0 : Long.MIN_VALUE);
      }
    }
    record.setLong(at, significand);
    record.setShort(at + 8, (int) exponent);
  }

  /** What the 16 bytes of a vector are most likely to mean. */
  enum Lanes {
    INTEGERS,
    SINGLES,
    DOUBLES
  }

  /** Stores a vector of 16 bytes, usually of the lanes given. */
  void vector(CaseRecord record, int at, Lanes usual) {
    Lanes lanes = oneIn(8) ? Lanes.values()[below(3)] : usual;
    switch (lanes) {
      case SINGLES -> {
        for (int i = 0; i < 16; i += 4) {
          record.setInt(at + i, single());
        }
      }
      case DOUBLES -> {
        record.setLong(at, doubleBits());
        record.setLong(at + 8, doubleBits());
      }
      case INTEGERS -> integerLanes(record, at);
    }
  }

  private void integerLanes(CaseRecord record, int at) {
    switch (below(4)) {
      case 0 -> {
        for (int i = 0; i < 16; i++) {
          record.setByte(at + i, (int) integer());
        }
      }
      case 1 -> {
        for (int i = 0; i < 16; i += 2) {
          record.setShort(at + i, (int) integer());
        }
      }
      case 2 -> {
        for (int i = 0; i < 16; i += 4) {
          record.setInt(at + i, (int) integer());
        }
      }
      default -> {
        record.setLong(at, integer());
        record.setLong(at + 8, integer());
      }
    }
  }
}
