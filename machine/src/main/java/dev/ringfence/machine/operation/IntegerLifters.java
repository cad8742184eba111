package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import java.util.Map;

/** Arithmetic, logic, moves, conditional moves and flags of the general-purpose instructions. */
final class IntegerLifters {
  /** Condition names in the order of their codes (SDM volume 1, appendix B). */
  static final String[] CONDITIONS = {
    "O", "NO", "B", "AE", "E", "NE", "BE", "A", "S", "NS", "P", "NP", "L", "GE", "LE", "G"
  };

  private IntegerLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("ADD", binary(MicroCode.ADD));
    lifters.put("OR", binary(MicroCode.OR));
    lifters.put("ADC", binary(MicroCode.ADD_CARRY));
    lifters.put("SBB", binary(MicroCode.SUBTRACT_BORROW));
    lifters.put("AND", binary(MicroCode.AND));
    lifters.put("SUB", binary(MicroCode.SUBTRACT));
    lifters.put("XOR", binary(MicroCode.XOR));
    lifters.put("CMP", compare(MicroCode.COMPARE));
    lifters.put("TEST", compare(MicroCode.TEST));
    lifters.put("INC", unary(MicroCode.INCREMENT));
    lifters.put("DEC", unary(MicroCode.DECREMENT));
    lifters.put("NEG", unary(MicroCode.NEGATE));
    lifters.put("NOT", unary(MicroCode.NOT));
    lifters.put("SHL", shift(MicroCode.SHIFT_LEFT));
    lifters.put("SHR", shift(MicroCode.SHIFT_RIGHT));
    lifters.put("SAR", shift(MicroCode.SHIFT_RIGHT_ARITHMETIC));
    lifters.put("ROL", shift(MicroCode.ROTATE_LEFT));
    lifters.put("ROR", shift(MicroCode.ROTATE_RIGHT));
    lifters.put("RCL", shiftByHelper(Shifts::rotateLeftThroughCarry));
    lifters.put("RCR", shiftByHelper(Shifts::rotateRightThroughCarry));
    lifters.put("SHLD", doubleShift(Shifts::doubleLeft));
    lifters.put("SHRD", doubleShift(Shifts::doubleRight));
    lifters.put("MUL", wide(Multiplication::multiplyUnsigned));
    lifters.put("IMUL1", wide(Multiplication::multiplySigned));
    lifters.put("DIV", wide(Multiplication::divideUnsigned));
    lifters.put("IDIV", wide(Multiplication::divideSigned));
    lifters.put("IMUL", IntegerLifters::multiply);
    lifters.put("MOV", IntegerLifters::move);
    lifters.put("MOVNTI", IntegerLifters::move);
    lifters.put("MOVBE", IntegerLifters::moveSwapped);
    lifters.put("LEA", IntegerLifters::loadEffectiveAddress);
    lifters.put("MOVZX", (emitter, i) -> extend(emitter, i, false));
    lifters.put("MOVSX", (emitter, i) -> extend(emitter, i, true));
    lifters.put("MOVSXD", (emitter, i) -> extend(emitter, i, true));
    lifters.put("CBW", IntegerLifters::convertAccumulator);
    lifters.put("CWD", IntegerLifters::convertToPair);
    lifters.put("XCHG", IntegerLifters::exchange);
    lifters.put("XADD", IntegerLifters::exchangeAdd);
    lifters.put("XLAT", IntegerLifters::translate);
    lifters.put("NOP", (emitter, i) -> {});
    for (int condition = 0; condition < 16; condition++) {
      int code = condition;
      lifters.put("SET" + CONDITIONS[condition], (emitter, i) -> setIf(emitter, i, code));
      lifters.put("CMOV" + CONDITIONS[condition], (emitter, i) -> moveIf(emitter, i, code));
    }
    lifters.put("CMC", flags((s, o) -> carry(s, Flags.carry(s.flagAuxiliary) ^ 1)));
    lifters.put("CLC", flags((s, o) -> carry(s, 0)));
    lifters.put("STC", flags((s, o) -> carry(s, 1)));
    lifters.put("CLD", flags((s, o) -> s.systemFlags &= ~Flags.DF));
    lifters.put("STD", flags((s, o) -> s.systemFlags |= Flags.DF));
    lifters.put("SAHF", flags(IntegerLifters::storeAhIntoFlags));
    lifters.put("LAHF", flags(IntegerLifters::loadAhFromFlags));
    lifters.put("DAA", flags(Decimal::adjustAfterAddition));
    lifters.put("DAS", flags(Decimal::adjustAfterSubtraction));
    lifters.put("AAA", flags(Decimal::asciiAdjustAfterAddition));
    lifters.put("AAS", flags(Decimal::asciiAdjustAfterSubtraction));
    lifters.put("AAM", flags(Decimal::asciiAdjustAfterMultiplication));
    lifters.put("AAD", flags(Decimal::asciiAdjustBeforeDivision));
  }

  private static void carry(ProcessorState state, int value) {
    state.flagAuxiliary = Flags.withCarry(state.flagAuxiliary, value);
  }

  /** An instruction that is one state helper; an immediate is passed on. */
  private static Lifter flags(StateHelper helper) {
    return (emitter, i) -> emitter.stateHelper(helper).immediate = i.immediate();
  }

  private static Lifter binary(int code) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, true);
      Operand source = Operand.of(emitter, i, 1, false);
      Operand.Value value = source.value();
      int first = target.slotForUpdate();
      int result = target.isMemory() ? first : target.resultSlot();
      emitter.arithmetic(code, target.width(), result, first, value.slot(), value.immediate());
      target.write(result);
    };
  }

  private static Lifter compare(int code) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, false);
      Operand.Value value = Operand.of(emitter, i, 1, false).value();
      int first = target.slot();
      emitter.arithmetic(code, target.width(), Slot.ZERO, first, value.slot(), value.immediate());
    };
  }

  private static Lifter unary(int code) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, true);
      int first = target.slotForUpdate();
      int result = target.isMemory() ? first : target.resultSlot();
      emitter.arithmetic(code, target.width(), result, first, Slot.ZERO, 0);
      target.write(result);
    };
  }

  private static Lifter shift(int code) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, true);
      Operand.Value count = Operand.of(emitter, i, 1, false).value();
      int first = target.slotForUpdate();
      int result = target.isMemory() ? first : target.resultSlot();
      emitter.arithmetic(code, target.width(), result, first, count.slot(), count.immediate());
      target.write(result);
    };
  }

  private static Lifter shiftByHelper(StateHelper helper) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, true);
      Operand.Value count = Operand.of(emitter, i, 1, false).value();
      int first = target.slotForUpdate();
      int result = target.isMemory() ? first : target.resultSlot();
      helper(emitter, helper, target.width(), result, first, count);
      target.write(result);
    };
  }

  private static Lifter doubleShift(StateHelper helper) {
    return (emitter, i) -> {
      Operand target = Operand.of(emitter, i, 0, true);
      Operand.Value count = Operand.of(emitter, i, 2, false).value();
      int first = target.slotForUpdate();
      int result = target.isMemory() ? first : target.resultSlot();
      helper(emitter, helper, target.width(), result, first, count).index = i.reg();
      target.write(result);
    };
  }

  static MicroOperation helper(
      Emitter emitter, StateHelper helper, int width, int result, int first, Operand.Value second) {
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = result;
    operation.first = first;
    operation.second = second.slot();
    operation.immediate = second.immediate();
    operation.shift = 64 - width;
    operation.keep = Emitter.keepFor(result, width);
    return operation;
  }

  /** MUL, IMUL, DIV, IDIV of one operand: implied operands are in rAX and rDX. */
  private static Lifter wide(StateHelper helper) {
    return (emitter, i) -> {
      Operand source = Operand.of(emitter, i, 0, false);
      int first = source.slot();
      MicroOperation operation = emitter.stateHelper(helper);
      operation.first = first;
      operation.shift = 64 - source.width();
    };
  }

  private static void multiply(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    Operand source = Operand.of(emitter, i, 1, false);
    boolean three = i.definition().operands().size() == 3;
    int first = three ? source.slot() : target.register();
    Operand.Value second = three ? new Operand.Value(Slot.ZERO, i.immediate()) : source.value();
    emitter.arithmetic(
        MicroCode.MULTIPLY,
        target.width(),
        target.register(),
        first,
        second.slot(),
        second.immediate());
  }

  private static void move(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    Operand source = Operand.of(emitter, i, 1, false);
    int width = target.width();
    if (source.isMemory()) {
      int result = target.resultSlot();
      emitter.load(result, source.memory(), width);
      target.write(result);
    } else {
      target.assign(source.value());
    }
  }

  private static void moveSwapped(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    Operand source = Operand.of(emitter, i, 1, false);
    int value = source.slot();
    int swapped = emitter.temporary();
    helper(
        emitter, Bits::swapBytes, target.width(), swapped, value, new Operand.Value(Slot.ZERO, 0));
    target.assign(new Operand.Value(swapped, 0));
  }

  private static void loadEffectiveAddress(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    if (i.addressWidth() >= width) {
      emitter.effectiveAddress(i.reg(), i, width);
    } else {
      int address = emitter.temporary();
      emitter.effectiveAddress(address, i, i.addressWidth());
      emitter.move(i.reg(), width, address, 0);
    }
  }

  private static void extend(Emitter emitter, Instruction i, boolean signed) {
    OperandDefinition sourceDefinition = i.definition().operands().get(1);
    int from = Math.min(sourceDefinition.width(i.operandWidth()), i.operandWidth());
    int to = i.operandWidth();
    int register = i.reg();
    if (i.isMemory()) {
      Memory memory = emitter.memory(i, from / 8, false);
      if (signed) {
        MicroOperation load =
            emitter.append(
                switch (from) {
                  case 8 -> MicroCode.LOAD_SIGNED8;
                  case 16 -> MicroCode.LOAD_SIGNED16;
                  default -> MicroCode.LOAD_SIGNED32;
                });
        load.destination = register;
        load.shift = 64 - from;
        load.targetShift = 64 - to;
        load.keep = Emitter.keep(to);
        Emitter.address(load, memory);
      } else {
        MicroOperation load = emitter.append(from == 8 ? MicroCode.LOAD8 : MicroCode.LOAD16);
        load.destination = register;
        load.shift = 64 - from;
        load.keep = Emitter.keep(to);
        Emitter.address(load, memory);
      }
      return;
    }
    int source = emitter.readGeneral(i.rm(), from);
    MicroOperation move = emitter.append(signed ? MicroCode.SIGN_EXTEND : MicroCode.MOVE);
    move.destination = register;
    move.second = source;
    move.shift = 64 - from;
    move.targetShift = 64 - to;
    move.keep = Emitter.keep(to);
  }

  /** CBW, CWDE, CDQE. */
  private static void convertAccumulator(Emitter emitter, Instruction i) {
    MicroOperation extend = emitter.append(MicroCode.SIGN_EXTEND);
    extend.destination = Slot.RAX;
    extend.second = Slot.RAX;
    extend.shift = 64 - i.operandWidth() / 2;
    extend.targetShift = 64 - i.operandWidth();
    extend.keep = Emitter.keep(i.operandWidth());
  }

  /** CWD, CDQ, CQO. */
  private static void convertToPair(Emitter emitter, Instruction i) {
    helper(
        emitter,
        (s, o) ->
            s.r[Slot.RDX] =
                s.r[Slot.RDX] & o.keep | s.r[Slot.RAX] << o.shift >> 63 << o.shift >>> o.shift,
        i.operandWidth(),
        Slot.RDX,
        Slot.RAX,
        new Operand.Value(Slot.ZERO, 0));
  }

  private static void exchange(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    Operand source = Operand.of(emitter, i, 1, true);
    int width = target.width();
    if (target.register() == Slot.RAX && source.register() == Slot.RAX && i.opcode() == 0x90) {
      return; // 90 is NOP in every mode: it does not even clear the upper half
    }
    int targetValue = target.slotForUpdate();
    int sourceValue = source.slot();
    int kept = emitter.temporary();
    emitter.move(kept, 64, targetValue, 0);
    target.assign(new Operand.Value(sourceValue, 0));
    source.assign(new Operand.Value(kept, 0));
    assert width == source.width();
  }

  private static void exchangeAdd(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    Operand source = Operand.of(emitter, i, 1, true);
    int targetValue = target.slotForUpdate();
    int sourceValue = source.slot();
    int kept = emitter.temporary();
    emitter.move(kept, 64, targetValue, 0);
    int sum = emitter.temporary();
    emitter.arithmetic(MicroCode.ADD, target.width(), sum, targetValue, sourceValue, 0);
    if (target.isMemory()) {
      target.write(sum);
      source.assign(new Operand.Value(kept, 0));
    } else {
      // With one register as both operands the sum is what stays.
      source.assign(new Operand.Value(kept, 0));
      target.assign(new Operand.Value(sum, 0));
    }
  }

  private static void translate(Emitter emitter, Instruction i) {
    int index = emitter.temporary();
    MicroOperation zeroExtend = emitter.append(MicroCode.MOVE);
    zeroExtend.destination = index;
    zeroExtend.second = Slot.RAX;
    zeroExtend.shift = 56;
    Memory memory = emitter.memory(Slot.RBX, index, 0, 0, i.addressWidth(), i.segment(), 1, false);
    emitter.load(Slot.RAX, memory, 8);
  }

  private static void setIf(Emitter emitter, Instruction i, int condition) {
    Operand target = Operand.of(emitter, i, 0, true);
    int result = target.resultSlot();
    MicroOperation set = emitter.append(MicroCode.SET_IF);
    set.destination = result;
    set.condition = condition;
    set.shift = 56;
    set.keep = Emitter.keepFor(result, 8);
    target.write(result);
  }

  private static void moveIf(Emitter emitter, Instruction i, int condition) {
    int width = i.operandWidth();
    // The source is read, and may fault, whatever the condition.
    int source = Operand.of(emitter, i, 1, false).slot();
    MicroOperation move = emitter.append(MicroCode.MOVE_IF);
    move.destination = i.reg();
    move.second = source;
    move.condition = condition;
    move.shift = 64 - width;
    move.keep = Emitter.keep(width);
  }

  private static void storeAhIntoFlags(ProcessorState state, MicroOperation operation) {
    int mask = Flags.SF | Flags.ZF | Flags.AF | Flags.PF | Flags.CF;
    int ah = (int) (state.r[Slot.RAX] >>> 8);
    state.setStatusFlags(state.statusFlags() & ~mask | ah & mask);
  }

  private static void loadAhFromFlags(ProcessorState state, MicroOperation operation) {
    long flags = state.statusFlags() & 0xff | Flags.ALWAYS_SET;
    state.r[Slot.RAX] = state.r[Slot.RAX] & ~0xff00L | flags << 8;
  }
}
