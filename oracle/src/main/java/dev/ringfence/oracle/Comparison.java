package dev.ringfence.oracle;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import java.util.ArrayList;
import java.util.List;

/** Compares what the real processor and the machine made of the cases of one form. */
final class Comparison {
  private static final String[] REGISTERS = {
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
    "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"
  };

  /** C1 and PE of the x87 status word. */
  private static final int ROUNDING = 0x220;

  /** UE of the x87 status word. */
  private static final int UNDERFLOW = 0x10;

  private final Deviations deviations;

  Comparison(Form form) {
    deviations = new Deviations(form);
  }

  static String registerName(int number) {
    return REGISTERS[number];
  }

  /**
   * The runner sees a branch by what happens at its target. An instruction has completed if INT3
   * was executed there, or if the fetch there raised a page fault.
   */
  static void normalize(CaseRecord input, CaseRecord real) {
    if (real.flags() != CaseRecord.EXCEPTION) {
      return;
    }
    if (input.has(CaseRecord.BRANCH) && real.vector() == ProcessorException.BREAKPOINT) {
      real.setRip(real.rip() - 1);
      real.setCompleted();
    } else if (real.vector() == ProcessorException.PAGE_FAULT) {
      if (real.faultAddress() == real.rip() && real.rip() != input.rip()) {
        real.setCompleted();
      } else if (!isOurs(real.faultAddress())) {
        // Whether a page of the host's kernel is present is not the instruction's business.
        real.setException(
            ProcessorException.PAGE_FAULT, real.errorCode() & ~1, real.faultAddress());
      }
    }
  }

  private static boolean isOurs(long address) {
    return address >= CaseRecord.DATA_BASE && address < CaseRecord.CODE_BASE + 0x10000;
  }

  /** Whether the outcomes are equal as far as they are defined. */
  boolean equal(CaseRecord input, CaseRecord real, CaseRecord machine) {
    if (deviations.leavesOut(input, real)) {
      return true;
    }
    if (!sameOutcome(input, real, machine) || real.rip() != machine.rip()) {
      return false;
    }
    long mask = input.has(CaseRecord.CODE32) ? 0xffffffffL : -1;
    for (int i = 0; i < input.registers(); i++) {
      if (((real.register(i) ^ machine.register(i)) & mask) != 0) {
        return false;
      }
    }
    if (flagDifference(input, real, machine) != 0) {
      return false;
    }
    if (input.has(CaseRecord.MEMORY)
        && real.segment()
                .asSlice(CaseRecord.MIDDLE_AT)
                .mismatch(machine.segment().asSlice(CaseRecord.MIDDLE_AT))
            >= 0) {
      if (memoryDifferences(input, real, machine, null) != 0) {
        return false;
      }
    }
    if (input.has(CaseRecord.SEGMENTS)
        && (real.getLong(CaseRecord.FS_BASE_AT) != machine.getLong(CaseRecord.FS_BASE_AT)
            || real.getLong(CaseRecord.GS_BASE_AT) != machine.getLong(CaseRecord.GS_BASE_AT))) {
      return false;
    }
    return !input.has(CaseRecord.FLOATING) || floatingEqual(input, real, machine);
  }

  private boolean sameOutcome(CaseRecord input, CaseRecord real, CaseRecord machine) {
    if (real.getLong(0) == machine.getLong(0)
        && real.getLong(8) == machine.getLong(8)
        && real.getLong(16) == machine.getLong(16)) {
      return true;
    }
    if (real.flags() != CaseRecord.EXCEPTION || machine.flags() != CaseRecord.EXCEPTION) {
      return false;
    }
    if (deviations.applies(Deviations.Effect.EXCEPTION, input, real)) {
      return true;
    }
    return real.vector() == machine.vector()
        && real.errorCode() == machine.errorCode()
        && (real.faultAddress() ^ machine.faultAddress()) >>> 12 == 0
        && deviations.applies(Deviations.Effect.FAULT_OFFSET, input, real);
  }

  private long flagDifference(CaseRecord input, CaseRecord real, CaseRecord machine) {
    long difference = (real.rflags() ^ machine.rflags()) & ~(long) Flags.RF;
    // A fault leaves even undefined flags alone.
    return difference == 0 || real.flags() == CaseRecord.EXCEPTION
        ? difference
        : difference & ~(long) deviations.flags(input, real);
  }

  /** Number of different bytes; they are described in {@code found} if it is given. */
  private int memoryDifferences(
      CaseRecord input,
      CaseRecord real,
      CaseRecord machine,
      @org.jspecify.annotations.Nullable List<String> found) {
    int differences = 0;
    for (int at = CaseRecord.MIDDLE_AT; at < CaseRecord.SIZE; at++) {
      int wanted = real.getByte(at);
      int got = machine.getByte(at);
      if (wanted != got && !deviations.ignoresByte(CaseRecord.addressOfWindow(at), input, real)) {
        if (found != null && differences < 32) {
          found.add(line("[%x]".formatted(CaseRecord.addressOfWindow(at)), wanted, got));
        }
        differences++;
      }
    }
    return differences;
  }

  private boolean floatingEqual(CaseRecord input, CaseRecord real, CaseRecord machine) {
    boolean x87Matters =
        real.flags() != CaseRecord.EXCEPTION
            || !deviations.applies(Deviations.Effect.X87_AT_EXCEPTION, input, real);
    return (!x87Matters || x87Equal(input, real, machine)) && vectorsEqual(input, real, machine);
  }

  private boolean x87Equal(CaseRecord input, CaseRecord real, CaseRecord machine) {
    boolean lastPlace = deviations.applies(Deviations.Effect.LAST_PLACE, input, real);
    int statusMask = ~deviations.x87Status(input, real) & (lastPlace ? ~ROUNDING & 0xffff : 0xffff);
    if (lastPlace && anyAcrossSmallestNormal(real, machine)) {
      statusMask &= ~UNDERFLOW;
    }
    if (real.getShort(CaseRecord.FX) != machine.getShort(CaseRecord.FX)
        || ((real.getShort(CaseRecord.FX_STATUS) ^ machine.getShort(CaseRecord.FX_STATUS))
                & statusMask)
            != 0
        || real.getByte(CaseRecord.FX_TAGS) != machine.getByte(CaseRecord.FX_TAGS)) {
      return false;
    }
    for (int i = 0; i < 8; i++) {
      int at = CaseRecord.FX_STACK + 16 * i;
      if (!sameRegister(real, machine, at) && !(lastPlace && neighbours(real, machine, at))) {
        return false;
      }
    }
    return true;
  }

  private static boolean sameRegister(CaseRecord real, CaseRecord machine, int at) {
    return real.getLong(at) == machine.getLong(at)
        && real.getShort(at + 8) == machine.getShort(at + 8);
  }

  /**
   * Whether a register has the smallest normal number of one and the largest denormal number of the
   * other: one unit in the last place apart, and only the latter has underflowed.
   */
  private static boolean anyAcrossSmallestNormal(CaseRecord real, CaseRecord machine) {
    for (int i = 0; i < 8; i++) {
      int at = CaseRecord.FX_STACK + 16 * i;
      if (acrossSmallestNormal(real, machine, at) || acrossSmallestNormal(machine, real, at)) {
        return true;
      }
    }
    return false;
  }

  private static boolean acrossSmallestNormal(CaseRecord normal, CaseRecord denormal, int at) {
    return (normal.getShort(at + 8) & 0x7fff) == 1
        && normal.getShort(at + 8) - denormal.getShort(at + 8) == 1
        && normal.getLong(at) == Long.MIN_VALUE
        && denormal.getLong(at) == Long.MAX_VALUE;
  }

  /** Whether two extended numbers differ by one unit in the last place. */
  private static boolean neighbours(CaseRecord real, CaseRecord machine, int at) {
    long difference = real.getLong(at) - machine.getLong(at);
    int exponents = real.getShort(at + 8) - machine.getShort(at + 8);
    if (exponents == 0) {
      return difference == 1 || difference == -1;
    }
    if (acrossSmallestNormal(real, machine, at) || acrossSmallestNormal(machine, real, at)) {
      return true;
    }
    // Across a power of two: all ones, and the next exponent with the integer bit alone.
    return (exponents == 1 && difference == Long.MIN_VALUE + 1 && machine.getLong(at) == -1)
        || (exponents == -1 && difference == Long.MAX_VALUE && real.getLong(at) == -1);
  }

  private boolean vectorsEqual(CaseRecord input, CaseRecord real, CaseRecord machine) {
    if (real.getInt(CaseRecord.FX_MXCSR) != machine.getInt(CaseRecord.FX_MXCSR)) {
      return false;
    }
    for (int at = CaseRecord.FX_VECTORS; at < CaseRecord.FX_VECTORS + 256; at += 8) {
      if (real.getLong(at) != machine.getLong(at)
          && !(deviations.applies(Deviations.Effect.APPROXIMATE, input, real)
              && vectorClose(real, machine, at))) {
        return false;
      }
    }
    return true;
  }

  private static boolean vectorClose(CaseRecord real, CaseRecord machine, int at) {
    return close(real.getInt(at), machine.getInt(at))
        && close(real.getInt(at + 4), machine.getInt(at + 4));
  }

  /** Two approximations of one number, each with a relative error of at most 1.5 * 2^-12. */
  private static boolean close(int real, int machine) {
    float a = Float.intBitsToFloat(real);
    float b = Float.intBitsToFloat(machine);
    return real == machine || Math.abs(a - b) <= Math.abs(a) * 3 / 4096;
  }

  /** What is different, one line each. */
  List<String> differences(CaseRecord input, CaseRecord real, CaseRecord machine) {
    List<String> found = new ArrayList<>();
    if (!sameOutcome(input, real, machine)) {
      found.add(
          "outcome: real " + CaseText.outcome(real) + ", machine " + CaseText.outcome(machine));
    }
    if (real.rip() != machine.rip()) {
      found.add(line("RIP", real.rip(), machine.rip()));
    }
    long mask = input.has(CaseRecord.CODE32) ? 0xffffffffL : -1;
    for (int i = 0; i < input.registers(); i++) {
      if (((real.register(i) ^ machine.register(i)) & mask) != 0) {
        found.add(line(REGISTERS[i], real.register(i) & mask, machine.register(i) & mask));
      }
    }
    long flags = flagDifference(input, real, machine);
    if (flags != 0) {
      found.add(
          line("RFLAGS", real.rflags(), machine.rflags()) + ", differing " + CaseText.flags(flags));
    }
    if (input.has(CaseRecord.MEMORY)) {
      memoryDifferences(input, real, machine, found);
    }
    if (input.has(CaseRecord.SEGMENTS)) {
      addIfDifferent(found, "FS base", real, machine, CaseRecord.FS_BASE_AT);
      addIfDifferent(found, "GS base", real, machine, CaseRecord.GS_BASE_AT);
    }
    if (input.has(CaseRecord.FLOATING) && !floatingEqual(input, real, machine)) {
      floatingDifferences(real, machine, found);
    }
    return found;
  }

  private static void floatingDifferences(CaseRecord real, CaseRecord machine, List<String> found) {
    for (CaseText.FloatingField field : CaseText.FloatingField.ALL) {
      String wanted = field.text(real);
      String got = field.text(machine);
      if (!wanted.equals(got)) {
        found.add(field.name() + ": real " + wanted + ", machine " + got);
      }
    }
  }

  private static void addIfDifferent(
      List<String> found, String name, CaseRecord real, CaseRecord machine, int at) {
    if (real.getLong(at) != machine.getLong(at)) {
      found.add(line(name, real.getLong(at), machine.getLong(at)));
    }
  }

  private static String line(String name, long real, long machine) {
    return "%s: real %x, machine %x".formatted(name, real, machine);
  }
}
