package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import dev.ringfence.machine.operation.X87Functions.Constant;
import dev.ringfence.machine.operation.softfloat.Extended;
import dev.ringfence.machine.operation.softfloat.Transcendental;
import dev.ringfence.machine.operation.softfloat.Transcendental.Function;
import java.util.Map;

/**
 * x87 instructions. Field condition of an operation is the i of ST(i); memory operands are loaded
 * into the slot that second names, and checks for pending exceptions come before the load.
 */
final class X87Lifters {
  private X87Lifters() {}

  static void register(Map<String, Lifter> lifters) {
    registerArithmetic(lifters);
    registerComparisons(lifters);
    registerLoadsAndStores(lifters);
    registerFunctions(lifters);
    registerControl(lifters);
  }

  private static void registerArithmetic(Map<String, Lifter> lifters) {
    arithmetic(lifters, "ADD", X87.Operation.ADD);
    arithmetic(lifters, "MUL", X87.Operation.MULTIPLY);
    arithmetic(lifters, "SUB", X87.Operation.SUBTRACT);
    arithmetic(lifters, "SUBR", X87.Operation.SUBTRACT_REVERSED);
    arithmetic(lifters, "DIV", X87.Operation.DIVIDE);
    arithmetic(lifters, "DIVR", X87.Operation.DIVIDE_REVERSED);
  }

  private static void arithmetic(
      Map<String, Lifter> lifters, String name, X87.Operation operation) {
    StateHelper toTop = (s, o) -> X87.arithmetic(s, o, operation, 0, o.condition, 0);
    StateHelper toRegister = (s, o) -> X87.arithmetic(s, o, operation, o.condition, 0, 0);
    StateHelper toRegisterPop = (s, o) -> X87.arithmetic(s, o, operation, o.condition, 0, 1);
    MemoryOperand onMemory =
        (s, o, se, m, denormal) -> X87.arithmetic(s, o, operation, se, m, denormal);
    lifters.put(
        "F" + name,
        (emitter, i) -> {
          if (i.isMemory()) {
            onReal(emitter, i, onMemory);
          } else {
            boolean top = i.definition().operands().getFirst().method() == Method.STACK_TOP;
            onRegister(emitter, i, top ? toTop : toRegister);
          }
        });
    lifters.put("F" + name + "P", (emitter, i) -> onRegister(emitter, i, toRegisterPop));
    lifters.put("FI" + name, (emitter, i) -> onInteger(emitter, i, onMemory));
  }

  private static void registerComparisons(Map<String, Lifter> lifters) {
    for (int pops = 0; pops < 2; pops++) {
      int count = pops;
      String suffix = pops == 0 ? "" : "P";
      MemoryOperand onMemory =
          (s, o, se, m, denormal) -> X87.compareMemory(s, o, se, m, denormal, count);
      lifters.put(
          "FCOM" + suffix,
          (emitter, i) -> {
            if (i.isMemory()) {
              onReal(emitter, i, onMemory);
            } else {
              onRegister(
                  emitter, i, (s, o) -> X87.compareRegister(s, o, o.condition, false, count));
            }
          });
      lifters.put("FICOM" + suffix, (emitter, i) -> onInteger(emitter, i, onMemory));
      onRegister(
          lifters, "FUCOM" + suffix, (s, o) -> X87.compareRegister(s, o, o.condition, true, count));
      onRegister(
          lifters, "FCOMI" + suffix, (s, o) -> X87.compareToFlags(s, o, o.condition, false, count));
      onRegister(
          lifters, "FUCOMI" + suffix, (s, o) -> X87.compareToFlags(s, o, o.condition, true, count));
    }
    onRegister(lifters, "FCOMPP", (s, o) -> X87.compareRegister(s, o, 1, false, 2));
    onRegister(lifters, "FUCOMPP", (s, o) -> X87.compareRegister(s, o, 1, true, 2));
    onRegister(lifters, "FTST", X87::test);
    onRegister(lifters, "FXAM", X87::examine);
  }

  private static void registerLoadsAndStores(Map<String, Lifter> lifters) {
    lifters.put("FLD", X87Lifters::load);
    lifters.put("FILD", X87Lifters::loadInteger);
    lifters.put("FBLD", X87Lifters::loadDecimal);
    lifters.put("FST", (emitter, i) -> store(emitter, i, 0));
    lifters.put("FSTP", (emitter, i) -> store(emitter, i, 1));
    lifters.put("FIST", (emitter, i) -> storeInteger(emitter, i, false, 0));
    lifters.put("FISTP", (emitter, i) -> storeInteger(emitter, i, false, 1));
    lifters.put("FISTTP", (emitter, i) -> storeInteger(emitter, i, true, 1));
    lifters.put(
        "FBSTP",
        (emitter, i) -> {
          emitter.stateHelper(Availability::requireX87);
          onMemory(emitter, i, 10, true, X87Memory::storeDecimal);
        });
    onRegister(lifters, "FXCH", (s, o) -> X87.exchange(s, o, o.condition));
    String[] conditions = {"B", "E", "BE", "U"};
    int[] flags = {Flags.CF, Flags.ZF, Flags.CF | Flags.ZF, Flags.PF};
    for (int n = 0; n < conditions.length; n++) {
      int mask = flags[n];
      onRegister(
          lifters,
          "FCMOV" + conditions[n],
          (s, o) -> X87.moveIf(s, o, o.condition, (s.statusFlags() & mask) != 0));
      onRegister(
          lifters,
          "FCMOVN" + conditions[n],
          (s, o) -> X87.moveIf(s, o, o.condition, (s.statusFlags() & mask) == 0));
    }
    constant(lifters, "FLD1", Constant.ONE);
    constant(lifters, "FLDL2T", Constant.LOG2_10);
    constant(lifters, "FLDL2E", Constant.LOG2_E);
    constant(lifters, "FLDPI", Constant.PI);
    constant(lifters, "FLDLG2", Constant.LOG10_2);
    constant(lifters, "FLDLN2", Constant.LN_2);
    onRegister(lifters, "FLDZ", (s, o) -> X87.load(s, o, 0, 0));
  }

  private static void constant(Map<String, Lifter> lifters, String mnemonic, Constant constant) {
    onRegister(lifters, mnemonic, (s, o) -> X87Functions.load(s, o, constant));
  }

  private static void registerFunctions(Map<String, Lifter> lifters) {
    onRegister(lifters, "FCHS", (s, o) -> X87.changeSign(s, o, 0xffff, Extended.SIGN));
    onRegister(lifters, "FABS", (s, o) -> X87.changeSign(s, o, Extended.EXPONENT, 0));
    onRegister(
        lifters, "FSQRT", (s, o) -> X87.unary(s, o, true, (unit, se, m) -> unit.squareRoot(se, m)));
    onRegister(
        lifters,
        "FRNDINT",
        (s, o) ->
            X87.unary(
                s,
                o,
                false,
                (unit, se, m) -> {
                  unit.narrowDenormal = Extended.isDenormal(se, m);
                  unit.roundToInteger(se, m, true);
                }));
    onRegister(lifters, "FSCALE", X87Functions::scale);
    onRegister(lifters, "FXTRACT", X87Functions::extract);
    onRegister(lifters, "F2XM1", (s, o) -> X87.unary(s, o, false, Transcendental::exponential));
    onRegister(
        lifters, "FYL2X", (s, o) -> X87Functions.binary(s, o, Transcendental::multipliedLogarithm));
    onRegister(
        lifters,
        "FYL2XP1",
        (s, o) -> X87Functions.binary(s, o, Transcendental::multipliedLogarithmPlusOne));
    onRegister(
        lifters,
        "FPATAN",
        (s, o) ->
            X87Functions.binary(
                s,
                o,
                (unit, se0, m0, se1, m1) -> Transcendental.arcTangent(unit, se1, m1, se0, m0)));
    onRegister(lifters, "FSIN", (s, o) -> X87Functions.trigonometric(s, o, Function.SINE));
    onRegister(lifters, "FCOS", (s, o) -> X87Functions.trigonometric(s, o, Function.COSINE));
    onRegister(lifters, "FSINCOS", X87Functions::sineAndCosine);
    onRegister(lifters, "FPTAN", X87Functions::tangent);
    onRegister(lifters, "FPREM", (s, o) -> X87Functions.remainder(s, o, false));
    onRegister(lifters, "FPREM1", (s, o) -> X87Functions.remainder(s, o, true));
  }

  private static void registerControl(Map<String, Lifter> lifters) {
    onRegister(lifters, "FINCSTP", (s, o) -> X87.rotate(s, o, 1));
    onRegister(lifters, "FDECSTP", (s, o) -> X87.rotate(s, o, -1));
    onRegister(lifters, "FFREE", (s, o) -> X87.free(s, o, o.condition));
    onRegister(
        lifters,
        "FFREEP",
        (s, o) -> {
          X87.free(s, o, o.condition);
          X87.pop(s, 1);
        });
    onRegister(lifters, "FNOP", X87::begin);
    for (String mnemonic : new String[] {"FNENI", "FNDISI", "FNSETPM"}) {
      onRegister(lifters, mnemonic, Availability::requireX87Control);
    }
    onRegister(
        lifters,
        "FNCLEX",
        (s, o) -> {
          Availability.requireX87Control(s, o);
          s.x87Status &= X87Status.C0 | X87Status.C1 | X87Status.C2 | X87Status.C3;
        });
    onRegister(
        lifters,
        "FNINIT",
        (s, o) -> {
          Availability.requireX87Control(s, o);
          X87.initialize(s);
        });
    lifters.put("FWAIT", (emitter, i) -> emitter.stateHelper(X87Lifters::await));
    lifters.put("FLDCW", X87Lifters::loadControl);
    lifters.put("FNSTCW", (emitter, i) -> storeWord(emitter, i, s -> s.x87Control));
    lifters.put("FNSTSW", (emitter, i) -> storeWord(emitter, i, X87Status::word));
    lifters.put(
        "FLDENV", (emitter, i) -> environment(emitter, i, true, X87Memory::loadEnvironment));
    lifters.put("FRSTOR", (emitter, i) -> environment(emitter, i, true, X87Memory::restore));
    lifters.put(
        "FNSTENV", (emitter, i) -> environment(emitter, i, false, X87Memory::storeEnvironment));
    lifters.put("FNSAVE", (emitter, i) -> environment(emitter, i, false, X87Memory::save));
  }

  /** FWAIT: #NM only if CR0.MP and CR0.TS, then #MF. */
  private static void await(ProcessorState state, MicroOperation operation) {
    long both = ControlBits.CR0_MP | ControlBits.CR0_TS;
    if ((state.cr0 & both) == both) {
      throw ProcessorException.of(ProcessorException.DEVICE_NOT_AVAILABLE);
    }
    Availability.requireNoPendingX87Exception(state);
  }

  /** An operation on registers only, which makes its own checks. */
  private static void onRegister(Map<String, Lifter> lifters, String mnemonic, StateHelper helper) {
    lifters.put(mnemonic, (emitter, i) -> onRegister(emitter, i, helper));
  }

  private static void onRegister(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.stateHelper(helper).condition = i.rm() & 7;
  }

  /** An operation with a number from memory, converted to the extended format. */
  @FunctionalInterface
  private interface MemoryOperand {
    void apply(
        ProcessorState state, MicroOperation o, int signExponent, long significand, boolean narrow);
  }

  private static int operandWidth(Instruction i) {
    return i.definition().operands().stream()
        .filter(operand -> operand.method() == Method.MEMORY)
        .findFirst()
        .orElseThrow()
        .width(i.operandWidth());
  }

  private static void onReal(Emitter emitter, Instruction i, MemoryOperand operand) {
    emitter.stateHelper(Availability::requireX87);
    int width = operandWidth(i);
    int slot = emitter.load(emitter.memory(i, width / 8, false), width);
    StateHelper helper =
        width == 32
            ? (s, o) -> {
              int bits = (int) s.r[o.second];
              operand.apply(
                  s,
                  o,
                  Extended.exponentOfSingle(bits),
                  Extended.significandOfSingle(bits),
                  Extended.isDenormalSingle(bits));
            }
            : (s, o) -> {
              long bits = s.r[o.second];
              operand.apply(
                  s,
                  o,
                  Extended.exponentOfDouble(bits),
                  Extended.significandOfDouble(bits),
                  Extended.isDenormalDouble(bits));
            };
    emitter.stateHelper(helper).second = slot;
  }

  private static void onInteger(Emitter emitter, Instruction i, MemoryOperand operand) {
    emitter.stateHelper(Availability::requireX87);
    int width = operandWidth(i);
    int slot = emitter.load(emitter.memory(i, width / 8, false), width);
    MicroOperation operation =
        emitter.stateHelper((s, o) -> {
          long value = s.r[o.second] << o.shift >> o.shift;
          long magnitude = Math.abs(value);
          int leading = Long.numberOfLeadingZeros(magnitude);
          int sign = value < 0 ? Extended.SIGN : 0;
          int exponent = value == 0 ? 0 : Extended.BIAS + 63 - leading;
          operand.apply(s, o, sign | exponent, magnitude << leading, false);
        });
    operation.second = slot;
    operation.shift = 64 - width;
  }

  private static void load(Emitter emitter, Instruction i) {
    if (!i.isMemory()) {
      onRegister(emitter, i, (s, o) -> X87.loadRegister(s, o, o.condition));
    } else if (operandWidth(i) == 80) {
      loadTenBytes(emitter, i, (s, o) -> X87.load(s, o, (int) s.r[o.first], s.r[o.second]));
    } else {
      onReal(emitter, i, X87::loadReal);
    }
  }

  private static void loadInteger(Emitter emitter, Instruction i) {
    onInteger(emitter, i, (s, o, se, m, denormal) -> X87.load(s, o, se, m));
  }

  private static void loadDecimal(Emitter emitter, Instruction i) {
    loadTenBytes(
        emitter,
        i,
        (s, o) -> {
          long high = s.r[o.first];
          long value = X87Memory.decimal(s.r[o.second], high);
          int sign = (int) high & Extended.SIGN;
          if (value == 0) {
            X87.load(s, o, sign, 0);
          } else {
            int leading = Long.numberOfLeadingZeros(value);
            X87.load(s, o, sign | Extended.BIAS + 63 - leading, value << leading);
          }
        });
  }

  /** Loads bytes 0 to 7 to the slot second and bytes 8 and 9 to the slot first. */
  private static void loadTenBytes(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.stateHelper(Availability::requireX87);
    Memory memory = emitter.memory(i, 10, false);
    int low = emitter.load(memory, 64);
    int high = emitter.load(memory.plus(8), 16);
    MicroOperation operation = emitter.stateHelper(helper);
    operation.second = low;
    operation.first = high;
  }

  /** Calls the helper with the linear address of the memory operand in the slot first. */
  private static void onMemory(
      Emitter emitter, Instruction i, int bytes, boolean write, ProcessorHelper helper) {
    Memory memory = emitter.memory(i, bytes, write);
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    address.destination = emitter.temporary();
    Emitter.address(address, memory);
    emitter.requireCanonical(memory, address.destination, bytes);
    emitter.processorHelper(helper).first = address.destination;
  }

  private static void store(Emitter emitter, Instruction i, int pops) {
    if (!i.isMemory()) {
      onRegister(emitter, i, (s, o) -> X87.storeRegister(s, o, o.condition, pops));
      return;
    }
    emitter.stateHelper(Availability::requireX87);
    int width = operandWidth(i);
    ProcessorHelper helper =
        width == 80
            ? X87Memory::storeExtended
            : (processor, o) -> X87Memory.storeReal(processor, o, width, pops);
    onMemory(emitter, i, width / 8, true, helper);
  }

  private static void storeInteger(Emitter emitter, Instruction i, boolean truncate, int pops) {
    emitter.stateHelper(Availability::requireX87);
    int width = operandWidth(i);
    onMemory(
        emitter,
        i,
        width / 8,
        true,
        (processor, o) -> X87Memory.storeInteger(processor, o, width, truncate, pops));
  }

  private static void loadControl(Emitter emitter, Instruction i) {
    emitter.stateHelper(Availability::requireX87);
    int slot = emitter.load(emitter.memory(i, 2, false), 16);
    emitter.stateHelper((s, o) -> X87Status.setControl(s, (int) s.r[o.second])).second = slot;
  }

  /** A word of the state. */
  private interface StateWord {
    int of(ProcessorState state);
  }

  /** FNSTCW and FNSTSW, to memory or AX. */
  private static void storeWord(Emitter emitter, Instruction i, StateWord word) {
    emitter.stateHelper(Availability::requireX87Control);
    int slot = emitter.temporary();
    emitter.stateHelper((s, o) -> s.r[o.destination] = word.of(s)).destination = slot;
    if (i.isMemory()) {
      emitter.store(emitter.memory(i, 2, true), 16, slot, 0);
    } else {
      emitter.writeGeneral(Slot.RAX, 16, slot);
    }
  }

  /** A load or store of the environment in the layout of an operand width. */
  private interface EnvironmentAccess {
    void access(
        dev.ringfence.machine.cpu.Processor processor, MicroOperation operation, int operandWidth);
  }

  private static void environment(
      Emitter emitter, Instruction i, boolean load, EnvironmentAccess access) {
    emitter.stateHelper(load ? Availability::requireX87 : Availability::requireX87Control);
    int width = Math.min(i.operandWidth(), 32);
    onMemory(
        emitter,
        i,
        i.definition().operands().getFirst().width(width) / 8,
        !load,
        (processor, o) -> access.access(processor, o, width));
  }
}
