package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Decoder;
import dev.ringfence.machine.decode.InstructionTable;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.machine.paging.TranslationInspector.Outcome;

/** The instruction of a virtual machine whose access to memory makes it exit. */
final class InterruptedInstruction {
  private static final int PAGE = 4096;

  private InterruptedInstruction() {}

  /**
   * Its length in bytes, found without effect; 0 if its bytes cannot be fetched, as when the fetch
   * itself exits.
   */
  static int length(Processor processor) {
    ProcessorState state = processor.state();
    boolean wide = state.codeWidth() == 64;
    long base = wide ? 0 : state.r[Slot.segmentBase(SegmentRegister.CS)];
    byte[] code = new byte[Decoder.MAXIMUM_LENGTH];
    int read = 0;
    while (read < code.length) {
      long linear = base + state.rip + read;
      int bytes = (int) Math.min(code.length - read, PAGE - (linear & PAGE - 1));
      TranslationInspector inspector = processor.memory().inspector();
      Outcome outcome = inspector.inspect(wide ? linear : linear & 0xffffffffL, PageWalker.FETCH);
      if (outcome != Outcome.PERMITTED
          || !processor.physical().isRam(inspector.physical(), bytes)) {
        break;
      }
      processor.physical().read(inspector.physical(), code, read, bytes);
      read += bytes;
    }
    try {
      return new Decoder(InstructionTable.standard())
          .decode(code, 0, read, state.codeWidth())
          .length();
    } catch (Decoder.DecodeException e) {
      return 0;
    }
  }
}
