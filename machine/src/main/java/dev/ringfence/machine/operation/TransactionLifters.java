package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import java.util.Map;

/**
 * Restricted transactional memory, in which every transaction aborts when it begins. That is
 * permitted: "There is no guarantee that a transactional execution will succeed" (SDM volume 1,
 * section 16.2), and software has a path for it. So XBEGIN is a jump to that path, and outside a
 * transaction, where software then always is, the other instructions do next to nothing.
 */
final class TransactionLifters {
  private TransactionLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("XBEGIN", TransactionLifters::begin);
    lifters.put(
        "XEND",
        (emitter, i) ->
            emitter.processorHelperEnd((processor, operation) -> {
              throw ProcessorException.generalProtection();
            }));
    lifters.put("XABORT", (emitter, i) -> emitter.move(emitter.temporary(), 64, Slot.ZERO, 0));
    lifters.put("XTEST", (emitter, i) -> emitter.stateHelper(TransactionLifters::test));
  }

  private static void begin(Emitter emitter, Instruction i) {
    MicroOperation begin = emitter.processorHelperEnd(TransactionLifters::abort);
    begin.immediate = emitter.nextOffset() + i.immediate();
    begin.shift = 64 - emitter.codeWidth();
  }

  /** EAX 0: neither XABORT nor a conflict was the cause, and trying again is of no use. */
  private static void abort(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    state.r[Slot.RAX] = 0;
    state.rip = state.r[Slot.BLOCK_START] + o.immediate << o.shift >>> o.shift;
  }

  private static void test(ProcessorState state, MicroOperation o) {
    state.setStatusFlags(Flags.ZF);
  }
}
