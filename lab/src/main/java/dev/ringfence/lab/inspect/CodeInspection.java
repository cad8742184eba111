package dev.ringfence.lab.inspect;

import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.running.PageTables;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.inspect.RegionListing;
import java.util.HexFormat;
import java.util.List;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/** Listings of code by address, by symbol of the kernel, or by bytes. */
public final class CodeInspection {
  /** Where bytes that come from nowhere are placed. */
  private static final long CODE = 0x1000;

  /** CR3 without PCID and flags. */
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  private static final long PAGE = 4096;

  private CodeInspection() {}

  /**
   * Lists the region around a place in a machine that stands still.
   *
   * @param kernel image of the Linux that runs, for symbols; null if it is none
   * @param place a hexadecimal linear address, or a symbol of the kernel, with {@code +0x10} or not
   * @throws BadInputException if there is no such place, or no code can be there
   */
  public static List<String> at(Machine machine, @Nullable BootFile kernel, String place) {
    RunningKernel running =
        kernel == null
            ? null
            : RunningKernel.of(KernelImage.of(kernel.bytes(), kernel.baseName()), machine);
    long linear = address(running, place);
    long physical = physical(machine, running, linear);
    if (!machine.memory().isRam(physical, 1)) {
      throw new BadInputException(
          "--at %s: expected an address of code, found nothing in RAM mapped at 0x%x"
              .formatted(place, linear));
    }
    long next = physical(machine, running, (linear | PAGE - 1) + 1);
    LongFunction<String> naming =
        running == null ? address -> "0x%x".formatted(address) : running::describe;
    Processor processor = machine.processors().getFirst();
    int width = running == null ? processor.state().codeWidth() : 64;
    return RegionListing.of(
        processor, linear, physical, machine.memory().isRam(next, PAGE) ? next : -1, width, naming);
  }

  private static long address(@Nullable RunningKernel running, String place) {
    String digits = place.startsWith("0x") ? place.substring(2) : place;
    if (digits.matches("[0-9a-fA-F]{1,16}")
        && (place.startsWith("0x") || running == null || running.symbols().find(place) == null)) {
      return Long.parseUnsignedLong(digits, 16);
    }
    if (running == null) {
      throw new BadInputException(
          "--at %s: expected a hexadecimal address, because the guest's symbols are not known"
              .formatted(place));
    }
    int plus = place.indexOf("+");
    String offset = plus < 0 ? "0" : place.substring(plus + 1).replaceFirst("^0x", "");
    if (!offset.matches("[0-9a-fA-F]{1,8}")) {
      throw new BadInputException(
          "--at %s: expected a hexadecimal number after +, found '%s'".formatted(place, offset));
    }
    String symbol = plus < 0 ? place : place.substring(0, plus);
    return running.symbols().require(symbol) + Long.parseLong(offset, 16);
  }

  /** Physical address by the kernel's tables or those that the first processor uses; -1 if none. */
  private static long physical(Machine machine, @Nullable RunningKernel running, long linear) {
    ProcessorState state = machine.processors().getFirst().state();
    if (running != null && linear < 0) {
      return running.physicalOf(linear);
    }
    return (state.cr0 & ControlBits.CR0_PG) == 0
        ? linear
        : new PageTables(machine.memory()).translate(state.cr3 & FRAME, linear);
  }

  /**
   * Lists bytes, as code of a machine without a guest.
   *
   * @param hexadecimal bytes, with spaces or without
   * @param width 16, 32 or 64
   * @throws BadInputException if these are not bytes, or more than a page of them
   */
  public static List<String> ofBytes(String hexadecimal, int width) {
    if (width != 16 && width != 32 && width != 64) {
      throw new BadInputException("--width: expected 16, 32 or 64, found " + width);
    }
    String digits = hexadecimal.replaceAll("\\s+", "");
    if (!digits.matches("([0-9a-fA-F]{2}){1,4096}")) {
      throw new BadInputException(
          "--code: expected 1 to 4,096 bytes in hexadecimal, such as 48 01 d8, found '%s'"
              .formatted(
                  hexadecimal.length() > 60 ? hexadecimal.substring(0, 60) + "..." : hexadecimal));
    }
    byte[] code = HexFormat.of().parseHex(digits);
    try (Machine machine =
        new Machine(MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1))) {
      machine.memory().fill(CODE, PAGE, HALT);
      machine.memory().write(CODE, code, 0, code.length);
      return RegionListing.of(
          machine.processors().getFirst(),
          CODE,
          CODE,
          -1,
          width,
          address -> "0x%x".formatted(address));
    }
  }

  /** HLT, which ends what does not end by itself. */
  private static final byte HALT = (byte) 0xf4;
}
