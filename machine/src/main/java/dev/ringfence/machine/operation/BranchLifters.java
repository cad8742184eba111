package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.virtualization.Interception;
import java.util.Map;

/** Control transfer within a code segment. */
final class BranchLifters {
  private BranchLifters() {}

  static void register(Map<String, Lifter> lifters) {
    for (int condition = 0; condition < 16; condition++) {
      int code = MicroCode.JUMP_IF + condition;
      lifters.put(
          "J" + IntegerLifters.CONDITIONS[condition], (emitter, i) -> jumpIf(emitter, i, code));
    }
    lifters.put("JMP", BranchLifters::jump);
    lifters.put("CALL", BranchLifters::call);
    lifters.put("RET", BranchLifters::ret);
    lifters.put("LOOP", (emitter, i) -> loop(emitter, i, BranchLifters::loop));
    lifters.put("LOOPE", (emitter, i) -> loop(emitter, i, BranchLifters::loopEqual));
    lifters.put("LOOPNE", (emitter, i) -> loop(emitter, i, BranchLifters::loopNotEqual));
    lifters.put("JCXZ", (emitter, i) -> loop(emitter, i, BranchLifters::jumpIfZero));
    lifters.put(
        "PAUSE",
        (emitter, i) ->
            emitter.processorHelperEnd((p, o) -> {
              Interception.pause(p, o.instruction.length());
              p.pause();
            }));
  }

  private static boolean isRelative(Instruction i) {
    return !i.definition().usesModRm();
  }

  private static long target(Emitter emitter, Instruction i) {
    return emitter.nextOffset() + i.immediate();
  }

  private static void jumpIf(Emitter emitter, Instruction i, int code) {
    MicroOperation jump = emitter.append(code);
    jump.immediate = target(emitter, i);
    jump.displacement = emitter.nextOffset();
    jump.shift = 64 - i.operandWidth();
    emitter.end();
  }

  private static void jump(Emitter emitter, Instruction i) {
    if (isRelative(i)) {
      jumpRelative(emitter, i);
      return;
    }
    int target = Operand.of(emitter, i, 0, false).slot();
    if (emitter.codeWidth() == 64) {
      emitter.append(MicroCode.JUMP_INDIRECT64).second = target;
      emitter.end();
    } else {
      jumpLegacy(emitter, i, target);
    }
  }

  private static void jumpRelative(Emitter emitter, Instruction i) {
    MicroOperation jump = emitter.append(MicroCode.JUMP);
    jump.immediate = target(emitter, i);
    jump.shift = 64 - i.operandWidth();
    emitter.end();
  }

  /** RIP = r[slot] cut to the operand width, within the limit of CS. */
  private static void jumpLegacy(Emitter emitter, Instruction i, int slot) {
    MicroOperation jump = emitter.processorHelperEnd(BranchLifters::jumpWithinLimit);
    jump.first = slot;
    jump.shift = 64 - i.operandWidth();
  }

  private static void jumpWithinLimit(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    state.rip = checkedTarget(state, state.r[o.first] << o.shift >>> o.shift);
  }

  private static long checkedTarget(ProcessorState state, long target) {
    if (target > state.limit[SegmentRegister.CS]) {
      throw ProcessorException.generalProtection();
    }
    return target;
  }

  private static void call(Emitter emitter, Instruction i) {
    if (emitter.codeWidth() == 64) {
      if (isRelative(i)) {
        MicroOperation call = emitter.append(MicroCode.CALL64);
        call.immediate = target(emitter, i);
        call.displacement = emitter.nextOffset();
        call.stack = true;
      } else {
        int target = Operand.of(emitter, i, 0, false).slot();
        MicroOperation call = emitter.append(MicroCode.CALL_INDIRECT64);
        call.second = target;
        call.displacement = emitter.nextOffset();
        call.stack = true;
      }
      emitter.end();
      return;
    }
    int width = i.operandWidth();
    int target;
    if (isRelative(i)) {
      target = emitter.temporary();
      emitter.move(target, 64, Slot.BLOCK_START, target(emitter, i));
    } else {
      target = Operand.of(emitter, i, 0, false).slot();
    }
    int checked = emitter.temporary();
    MicroOperation check = emitter.stateHelper(BranchLifters::checkTarget);
    check.destination = checked;
    check.first = target;
    check.shift = 64 - width;
    StackLifters.push(emitter, width, Slot.BLOCK_START, emitter.nextOffset());
    jumpLegacy(emitter, i, checked);
  }

  private static void checkTarget(ProcessorState state, MicroOperation o) {
    state.r[o.destination] = checkedTarget(state, state.r[o.first] << o.shift >>> o.shift);
  }

  private static void ret(Emitter emitter, Instruction i) {
    long release = i.immediate() & 0xffff;
    if (emitter.codeWidth() == 64) {
      MicroOperation ret = emitter.append(MicroCode.RETURN64);
      ret.immediate = release;
      ret.stack = true;
      emitter.end();
      return;
    }
    int width = i.operandWidth();
    int target = StackLifters.top(emitter, width, 0);
    int checked = emitter.temporary();
    MicroOperation check = emitter.stateHelper(BranchLifters::checkTarget);
    check.destination = checked;
    check.first = target;
    check.shift = 64 - width;
    StackLifters.release(emitter, width / 8 + release);
    jumpLegacy(emitter, i, checked);
  }

  private static void loop(Emitter emitter, Instruction i, ProcessorHelper helper) {
    MicroOperation loop = emitter.processorHelperEnd(helper);
    loop.immediate = target(emitter, i);
    loop.shift = 64 - i.operandWidth();
    loop.targetShift = 64 - i.addressWidth();
    loop.keep = Emitter.keep(i.addressWidth());
  }

  private static void take(ProcessorState state, MicroOperation o) {
    long target = state.r[Slot.BLOCK_START] + o.immediate << o.shift >>> o.shift;
    if (o.shift != 0) {
      checkedTarget(state, target);
    }
    state.rip = target;
  }

  private static long decremented(ProcessorState state, MicroOperation o) {
    return state.r[Slot.RCX] - 1 << o.targetShift >>> o.targetShift;
  }

  private static void count(ProcessorState state, MicroOperation o, boolean condition) {
    long count = decremented(state, o);
    if (count != 0 && condition) {
      take(state, o);
    }
    state.r[Slot.RCX] = state.r[Slot.RCX] & o.keep | count;
  }

  private static void loop(Processor processor, MicroOperation o) {
    count(processor.state(), o, true);
  }

  private static void loopEqual(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    count(state, o, (state.statusFlags() & Flags.ZF) != 0);
  }

  private static void loopNotEqual(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    count(state, o, (state.statusFlags() & Flags.ZF) == 0);
  }

  private static void jumpIfZero(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    if (state.r[Slot.RCX] << o.targetShift == 0) {
      take(state, o);
    }
  }
}
