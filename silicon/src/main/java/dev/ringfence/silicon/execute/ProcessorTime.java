package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.silicon.TimeBase;
import java.math.BigInteger;

/**
 * Ties the cycles of a logical processor to the machine's virtual time. Cycles are ticks of the
 * time-stamp counter since power-on: the processor runs at the frequency of its counter, as it does
 * with neither turbo nor power saving.
 */
final class ProcessorTime {
  private static final long SECOND = 1_000_000_000L;

  private final Processor processor;
  private final boolean byCycles;

  /** Nanoseconds of a cycle, times 2 to the power of 64. */
  private final long nanosecondsOfCycle;

  private long timeStamp;

  ProcessorTime(Processor processor, TimeBase timeBase) {
    this.processor = processor;
    this.byCycles = timeBase == TimeBase.CYCLES;
    long hertz = processor.timeStampFrequency().hertz();
    if (hertz <= SECOND) {
      throw new IllegalArgumentException(
          "a time-stamp counter of more than 1 GHz is expected, got " + hertz + " Hz");
    }
    // Rounded up, so that a whole number of nanoseconds never reads as less.
    this.nanosecondsOfCycle =
        BigInteger.valueOf(SECOND)
            .shiftLeft(64)
            .divide(BigInteger.valueOf(hertz))
            .add(BigInteger.ONE)
            .longValue();
    if (byCycles) {
      processor.setTimeStampSource(() -> timeStamp);
    }
  }

  /** The clock counts ticks again. */
  void close() {
    if (byCycles) {
      processor.setTimeStampSource(null);
    }
  }

  private long nanoseconds(long cycle) {
    return Math.unsignedMultiplyHigh(cycle, nanosecondsOfCycle);
  }

  /** Cycles that a number of nanoseconds has; none if time is counted in instructions. */
  long cycles(long nanoseconds) {
    return processor.timeStampFrequency().ticksAt(nanoseconds);
  }

  /** The cycle at the processor's time. */
  long cycleOfProcessor() {
    return Math.max(timeStamp, cycles(processor.time()));
  }

  /** Whether the processor's time went on while it did not execute. */
  boolean jumped(long cycle) {
    return byCycles && processor.time() > nanoseconds(cycle) + 1;
  }

  /** Counts completed instructions, the last of which retired at a cycle. */
  void complete(int instructions, long cycle) {
    if (byCycles) {
      long passed = nanoseconds(cycle) - processor.time();
      processor.complete(instructions, Math.max(passed, 0));
      timeStamp = Math.max(timeStamp, cycle);
    } else {
      processor.complete(instructions);
    }
  }

  /** Lets the clock show the time of an instruction. */
  void show(int ordinal, long cycle) {
    processor
        .clock()
        .setNow(
            byCycles ? Math.max(processor.time(), nanoseconds(cycle)) : processor.time() + ordinal);
  }

  /** Sets the cycle at which the time-stamp counter is read next; it never goes back. */
  void setTimeStamp(long cycle) {
    timeStamp = Math.max(timeStamp, cycle);
  }
}
