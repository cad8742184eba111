package dev.ringfence.machine;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.List;

/** Describes where a machine stands, for people. */
final class MachineReport {
  private static final String[] NAMES = {
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
    "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"
  };
  private static final String[] SEGMENTS = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
  private static final int CODE_BYTES = 16;

  private MachineReport() {}

  static String of(
      String whatHappened,
      List<Processor> processors,
      int current,
      PhysicalMemory memory,
      List<String> console) {
    StringBuilder text = new StringBuilder(whatHappened);
    Processor processor = processors.get(current);
    ProcessorState state = processor.state();
    text.append(
        "%nprocessor %d of %d, after %d instructions, CPL %d, %d-bit code%n"
            .formatted(
                current,
                processors.size(),
                processor.instructions(),
                state.cpl,
                state.codeWidth()));
    for (int i = 0; i < NAMES.length; i++) {
      text.append("%-3s %016x%s".formatted(NAMES[i], state.r[i], i % 4 == 3 ? "\n" : "  "));
    }
    text.append("RIP %016x  RFLAGS %08x%n".formatted(state.rip, state.rflags()));
    text.append(
        "CR0 %08x  CR2 %016x  CR3 %016x  CR4 %08x  EFER %04x%n"
            .formatted(state.cr0, state.cr2, state.cr3, state.cr4, state.efer));
    for (int i = 0; i < SEGMENTS.length; i++) {
      text.append(
          "%-4s %04x base %016x limit %08x access %05x%n"
              .formatted(
                  SEGMENTS[i],
                  state.selector[i],
                  state.segmentBase(i),
                  state.limit[i],
                  state.access[i]));
    }
    text.append("bytes at RIP:").append(code(processor, memory)).append('\n');
    text.append(console.isEmpty() ? "the console is empty" : "last console lines:");
    for (String line : console) {
      text.append("\n  ").append(line);
    }
    return text.toString();
  }

  private static String code(Processor processor, PhysicalMemory memory) {
    ProcessorState state = processor.state();
    long base = state.code64() ? 0 : state.segmentBase(SegmentRegister.CS);
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < CODE_BYTES; i++) {
      long linear = base + state.rip + i;
      long address = processor.memory().probe(linear);
      if (address < 0 || !memory.isRam(address, 1)) {
        return text + (i == 0 ? " none: the address is not mapped to RAM" : " (end of mapped RAM)");
      }
      text.append(" %02x".formatted(memory.readByte(address) & 0xff));
    }
    return text.toString();
  }
}
