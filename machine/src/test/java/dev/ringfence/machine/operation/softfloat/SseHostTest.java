package dev.ringfence.machine.operation.softfloat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.machine.operation.softfloat.FloatHost.Request;
import dev.ringfence.machine.operation.softfloat.FloatHost.Response;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** SSE arithmetic, by both paths, against the host's processor: results and exceptions. */
class SseHostTest {
  private static final long SEED = Long.getLong("ringfence.seed", 20250101);
  private static final int CASES = 200_000;
  private static final long LOW32 = 0xffff_ffffL;

  /** In the order of the first operations of float_host.c. */
  private static final List<Arithmetic> ARITHMETIC =
      List.of(
          Arithmetic.ADD,
          Arithmetic.SUBTRACT,
          Arithmetic.MULTIPLY,
          Arithmetic.DIVIDE,
          Arithmetic.MINIMUM,
          Arithmetic.MAXIMUM,
          Arithmetic.SQUARE_ROOT);

  private static final long[] DOUBLES = {
    0,
    1,
    0xf_ffff_ffff_ffffL,
    0x10_0000_0000_0000L,
    0x3ff0_0000_0000_0000L,
    0x3ff0_0000_0000_0001L,
    0x7fef_ffff_ffff_ffffL,
    0x7ff0_0000_0000_0000L,
    0x7ff0_0000_0000_0001L,
    0x7ff8_0000_0000_0000L,
    0x7fff_ffff_ffff_fff0L,
    0x3fe0_0000_0000_0000L,
    0x43e0_0000_0000_0000L,
    0x41e0_0000_0000_0000L,
    0x41df_ffff_ffe0_0000L,
    0x3810_0000_0000_0000L,
    0x380f_ffff_ffff_ffffL,
    0x3690_0000_0000_0000L,
    0x47ef_ffff_ffff_ffffL,
    0x1ff0_0000_0000_0000L,
    0x4330_0000_0000_0001L,
    0x8_0000_0000_0000L
  };
  private static final int[] SINGLES = {
    0,
    1,
    0x7f_ffff,
    0x80_0000,
    0x3f80_0000,
    0x3f80_0001,
    0x7f7f_ffff,
    0x7f80_0000,
    0x7f80_0001,
    0x7fc0_0000,
    0x7fff_fff0,
    0x3f00_0000,
    0x4f00_0000,
    0x5f00_0000,
    0x4eff_ffff,
    0x4b00_0001
  };

  private static long doubleOperand(Random random) {
    long value =
        switch (random.nextInt(5)) {
          case 0 -> DOUBLES[random.nextInt(DOUBLES.length)];
          case 1 -> Double.doubleToRawLongBits(random.nextInt(2000) / 8.0);
          case 2 -> (random.nextLong() & 0xf_ffff_ffff_ffffL) | (0x3f0L + random.nextInt(40)) << 52;
          case 3 -> random.nextLong() & 0x1fff_ffff_ffff_ffffL;
          default -> random.nextLong();
        };
    return random.nextBoolean() ? value : value ^ Long.MIN_VALUE;
  }

  private static long singleOperand(Random random) {
    int value =
        switch (random.nextInt(5)) {
          case 0 -> SINGLES[random.nextInt(SINGLES.length)];
          case 1 -> Float.floatToRawIntBits(random.nextInt(2000) / 8f);
          case 2 -> (random.nextInt() & 0x7f_ffff) | 0x78 + random.nextInt(40) << 23;
          case 3 -> random.nextInt() & 0x1fff_ffff;
          default -> random.nextInt();
        };
    return (random.nextBoolean() ? value : value ^ Integer.MIN_VALUE) & LOW32;
  }

  @Test
  void resultsAndExceptionsEqualThoseOfTheProcessor() throws Exception {
    assumeTrue(FloatHost.available());
    Random random = new Random(SEED);
    List<Request> requests = new ArrayList<>();
    for (int n = 0; n < CASES; n++) {
      int operation = random.nextInt(27);
      int mxcsr = 0x1f80;
      if (random.nextBoolean()) {
        mxcsr |= random.nextInt(4) << 13 | random.nextInt(2) << 15 | random.nextInt(2) << 6;
      }
      mxcsr |= random.nextBoolean() ? 0x20 : 0;
      boolean single =
          operation >= 7 && operation <= 13
              || operation == 15
              || operation == 18
              || operation == 19
              || operation == 24
              || operation == 26;
      long a = single ? singleOperand(random) : doubleOperand(random);
      long b = single ? singleOperand(random) : doubleOperand(random);
      if (operation == 20 || operation == 21) {
        b = random.nextLong() >> random.nextInt(64);
      }
      requests.add(new Request(operation, mxcsr, a, 0, b, 0));
    }
    List<Response> responses;
    try (FloatHost host = FloatHost.start()) {
      responses = host.run(requests);
    }
    for (int n = 0; n < CASES; n++) {
      check(requests.get(n), responses.get(n));
    }
  }

  private static void check(Request request, Response response) {
    SoftFloat unit = SoftFloat.ofMxcsr(request.control());
    long soft = soft(request, unit);
    boolean comparison = request.operation() >= 22 && request.operation() <= 24;
    java.util.function.Supplier<String> context =
        () ->
            "seed %d: operation %d mxcsr %x a %x b %x"
                .formatted(
                    SEED, request.operation(), request.control(), request.a0(), request.b0());
    if (comparison) {
      assertEquals(response.flags() & 0x45, flags((int) soft), context);
    } else {
      assertEquals(Long.toHexString(response.low()), Long.toHexString(soft), context);
    }
    assertEquals(response.status() & 0x3f, unit.flags | request.control() & 0x3f, context);
    long quick = quick(request);
    if (quick != QuickFloat.NOT_QUICK) {
      assertEquals(Long.toHexString(response.low()), Long.toHexString(quick), context);
      assertEquals(response.status(), request.control(), context);
    }
  }

  private static int flags(int order) {
    return switch (order) {
      case SoftFloat.LESS -> 1;
      case SoftFloat.EQUAL -> 0x40;
      case SoftFloat.GREATER -> 0;
      default -> 0x45;
    };
  }

  private static long soft(Request request, SoftFloat unit) {
    long a = request.a0();
    long b = request.b0();
    int operation = request.operation();
    if (operation < 7) {
      return Binary64.compute(unit, ARITHMETIC.get(operation), a, b);
    }
    if (operation < 14) {
      return Binary32.compute(unit, ARITHMETIC.get(operation - 7), (int) a, (int) b) & LOW32;
    }
    if (operation == 19) {
      unit.setRounding(SoftFloat.TOWARD_ZERO);
    }
    return switch (operation) {
      case 14 -> Binary32.fromDouble(unit, b) & LOW32 | a & ~LOW32;
      case 15 -> Binary64.fromSingle(unit, (int) b);
      case 16 -> Binary64.toInteger(unit, b, 64);
      case 17 -> Binary64.toInteger(unit, b, 32) & LOW32;
      case 18 -> Binary32.toInteger(unit, (int) b, 64);
      case 19 -> Binary32.toInteger(unit, (int) b, 32) & LOW32;
      case 20 -> Binary64.fromInteger(unit, b);
      case 21 -> Binary32.fromInteger(unit, b) & LOW32 | a & ~LOW32;
      case 22 -> Binary64.compare(unit, a, b, true);
      case 23 -> Binary64.compare(unit, a, b, false);
      case 24 -> Binary32.compare(unit, (int) a, (int) b, true);
      case 25 -> Binary64.roundToInteger(unit, b, true);
      default -> Binary32.roundToInteger(unit, (int) b, true) & LOW32 | a & ~LOW32;
    };
  }

  private static long quick(Request request) {
    long a = request.a0();
    long b = request.b0();
    int mxcsr = request.control();
    return switch (request.operation()) {
      case 0 -> QuickFloat.add(mxcsr, a, b);
      case 1 -> QuickFloat.subtract(mxcsr, a, b);
      case 2 -> QuickFloat.multiply(mxcsr, a, b);
      case 3 -> QuickFloat.divide(mxcsr, a, b);
      case 4 -> QuickFloat.minimum(a, b);
      case 5 -> QuickFloat.maximum(a, b);
      case 6 -> QuickFloat.squareRoot(mxcsr, b);
      case 7 -> QuickFloat.addSingle(mxcsr, (int) a, (int) b);
      case 8 -> QuickFloat.subtractSingle(mxcsr, (int) a, (int) b);
      case 9 -> QuickFloat.multiplySingle(mxcsr, (int) a, (int) b);
      case 10 -> QuickFloat.divideSingle(mxcsr, (int) a, (int) b);
      case 11 -> QuickFloat.minimumSingle((int) a, (int) b);
      case 12 -> QuickFloat.maximumSingle((int) a, (int) b);
      case 13 -> QuickFloat.squareRootSingle(mxcsr, (int) b);
      case 16 -> QuickFloat.toInteger(mxcsr, Double.longBitsToDouble(b), 64, false);
      case 20 -> QuickFloat.fromInteger(mxcsr, b);
      default -> QuickFloat.NOT_QUICK;
    };
  }
}
