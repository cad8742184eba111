package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.HostMemory;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.operation.Multiplication;
import dev.ringfence.machine.operation.ProcessorHelper;
import dev.ringfence.machine.operation.Shifts;
import dev.ringfence.machine.operation.StateHelper;
import dev.ringfence.machine.paging.TranslatedMemory;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;

/**
 * Emits the operations of one block that do not end it. Registers are written to the register file
 * as they change, and read from locals: an exception, an exit or an observer then finds them where
 * they belong, and a store costs next to nothing. Flags stay in locals.
 */
final class OperationEmitter {
  private static final ClassDesc FLAGS = type(Flags.class);
  private static final ClassDesc SHIFTS = type(Shifts.class);
  private static final ClassDesc HOST = type(HostMemory.class);
  private static final ClassDesc STATE = type(ProcessorState.class);
  private static final ClassDesc MEMORY = type(TranslatedMemory.class);
  private static final ClassDesc OPERATION = type(MicroOperation.class);
  private static final ClassDesc EXECUTION = type(Execution.class);
  private static final ClassDesc LONGS = ConstantDescs.CD_long.arrayType();
  private static final ClassDesc J = ConstantDescs.CD_long;
  private static final ClassDesc I = ConstantDescs.CD_int;
  private static final ClassDesc V = ConstantDescs.CD_void;
  private static final ClassDesc Z = ConstantDescs.CD_boolean;

  /** What is known of the flags in locals at this point of the block. */
  private enum Known {
    NOTHING,
    /** Of a difference whose operands are in {@link Locals#COMPARED}. */
    COMPARISON,
    /** Of a result with no carries. */
    LOGIC
  }

  private final CodeBuilder code;
  private final Constants constants;
  private final Execution execution;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final RegionBlock block;
  private final boolean code64;

  /** Slots whose locals hold their values. */
  private long valid;

  private Known known = Known.NOTHING;

  /** Whether the instruction that is being emitted calls a helper, which reads the file. */
  private boolean withHelper;

  OperationEmitter(
      CodeBuilder code,
      Constants constants,
      Processor processor,
      Execution execution,
      RegionBlock block,
      boolean code64,
      long valid) {
    this.code = code;
    this.constants = constants;
    this.execution = execution;
    this.state = processor.state();
    this.memory = processor.memory();
    this.block = block;
    this.code64 = code64;
    this.valid = valid;
  }

  private static ClassDesc type(Class<?> type) {
    return type.describeConstable().orElseThrow();
  }

  private static MethodTypeDesc method(ClassDesc returned, ClassDesc... parameters) {
    return MethodTypeDesc.of(returned, parameters);
  }

  /** Tells that an instruction begins. */
  void beginInstruction(boolean callsHelper) {
    withHelper = callsHelper;
  }

  // ---- values

  private void pushFile() {
    constants.push(code, state.r, LONGS);
  }

  private void pushState() {
    constants.push(code, state, STATE);
  }

  private void pushExecution() {
    constants.push(code, execution, EXECUTION);
  }

  /** Pushes RIP of a place given by its offset from the start of the block. */
  void pushAddress(long offsetInBlock) {
    code.lload(Locals.BASE);
    long offset = block.offset() + offsetInBlock;
    if (offset != 0) {
      code.loadConstant(offset).ladd();
    }
    if (!code64) {
      code.loadConstant(0xffffffffL).land();
    }
  }

  /** Pushes the value of a slot. */
  void push(int slot) {
    if (slot == Slot.ZERO) {
      code.lconst_0();
    } else if (slot == Slot.BLOCK_START) {
      pushAddress(0);
    } else if (SlotUse.keeps(slot)) {
      ensure(slot);
      code.lload(Locals.ofSlot(slot));
    } else {
      pushFile();
      code.loadConstant(slot).laload();
    }
  }

  private void ensure(int slot) {
    if ((valid >>> slot & 1) == 0) {
      pushFile();
      code.loadConstant(slot).laload().lstore(Locals.ofSlot(slot));
      valid |= 1L << slot;
    }
  }

  /** Brings slots into locals. */
  void ensureAll(long slots) {
    for (long rest = slots & ~valid; rest != 0; rest &= rest - 1) {
      pushFile();
      int slot = Long.numberOfTrailingZeros(rest);
      code.loadConstant(slot).laload().lstore(Locals.ofSlot(slot));
    }
  }

  /** Sets a slot to the value on the stack. */
  void pop(int slot) {
    if (slot == Slot.ZERO) {
      code.pop2();
    } else if (SlotUse.keeps(slot)) {
      code.lstore(Locals.ofSlot(slot));
      valid |= 1L << slot;
      if (!SlotUse.isTemporary(slot) || withHelper) {
        pushFile();
        code.loadConstant(slot).lload(Locals.ofSlot(slot)).lastore();
      }
    } else {
      code.lstore(Locals.VALUE);
      pushFile();
      code.loadConstant(slot).lload(Locals.VALUE).lastore();
    }
  }

  private void shiftLeft(int by) {
    if (by != 0) {
      code.loadConstant(by).lshl();
    }
  }

  private void shiftRight(int by) {
    if (by != 0) {
      code.loadConstant(by).lushr();
    }
  }

  private void shiftRightArithmetic(int by) {
    if (by != 0) {
      code.loadConstant(by).lshr();
    }
  }

  /** Pushes r[second] + immediate. */
  private void pushSource(MicroOperation o) {
    if (o.second == Slot.ZERO) {
      code.loadConstant(o.immediate);
    } else {
      push(o.second);
      if (o.immediate != 0) {
        code.loadConstant(o.immediate).ladd();
      }
    }
  }

  private void pushSourceShifted(MicroOperation o) {
    if (o.second == Slot.ZERO) {
      code.loadConstant(o.immediate << o.shift);
    } else {
      pushSource(o);
      shiftLeft(o.shift);
    }
  }

  /** Sets the destination to the value on the stack, which is cut already, by its merge rule. */
  private void popMerged(MicroOperation o) {
    if (o.keep != 0) {
      push(o.destination);
      code.loadConstant(o.keep).land().lor();
    }
    pop(o.destination);
  }

  /** Pushes the linear address of a memory operand. */
  private void pushLinear(MicroOperation o) {
    boolean something = false;
    for (int slot : new int[] {o.base, o.segmentBase}) {
      if (slot != Slot.ZERO) {
        push(slot);
        if (something) {
          code.ladd();
        }
        something = true;
      }
    }
    if (o.index != Slot.ZERO) {
      push(o.index);
      shiftLeft(o.scale);
      if (something) {
        code.ladd();
      }
      something = true;
    }
    if (!something) {
      code.loadConstant(o.displacement);
    } else if (o.displacement != 0) {
      code.loadConstant(o.displacement).ladd();
    }
  }

  /** Pushes flags, what remains and the site, as slow paths take them. */
  void pushSite(MicroOperation o) {
    code.lload(Locals.RESULT).lload(Locals.AUXILIARY).iload(Locals.REMAINING).loadConstant(site(o));
  }

  private int site(MicroOperation o) {
    return Site.of(block.offset() + o.offset, o.ordinal, block.instructions(), o.stack);
  }

  // ---- flags

  private void popFlags(Known knowledge) {
    code.lstore(Locals.AUXILIARY).lstore(Locals.RESULT);
    known = knowledge;
  }

  private void reloadFlags() {
    pushState();
    code.getfield(STATE, "flagResult", J).lstore(Locals.RESULT);
    pushState();
    code.getfield(STATE, "flagAuxiliary", J).lstore(Locals.AUXILIARY);
    known = Known.NOTHING;
  }

  private void storeFlags() {
    pushState();
    code.lload(Locals.RESULT).putfield(STATE, "flagResult", J);
    pushState();
    code.lload(Locals.AUXILIARY).putfield(STATE, "flagAuxiliary", J);
  }

  /** Jumps if a condition code holds; the other way round if {@code negated}. */
  void jumpIf(int condition, boolean negated, Label target) {
    boolean positive = (condition & 1) == 0 ^ negated;
    int group = condition >> 1;
    if (known == Known.COMPARISON && group != 0 && group != 5) {
      jumpIfCompared(group, positive, target);
      return;
    }
    if (known == Known.LOGIC && group != 5) {
      jumpIfLogic(group, positive, target);
      return;
    }
    switch (group) {
      case 1 -> code.lload(Locals.AUXILIARY).lconst_0().lcmp();
      case 2 -> {
        code.lload(Locals.RESULT).lconst_0().lcmp();
        if (positive) {
          code.ifeq(target);
        } else {
          code.ifne(target);
        }
        return;
      }
      case 4 -> {
        // SF is the sign of the result, turned over by bit 0 of the auxiliary word.
        code.lload(Locals.RESULT).lload(Locals.AUXILIARY);
        shiftLeft(63);
        code.lxor().lconst_0().lcmp();
      }
      case 0 -> {
        code.lload(Locals.AUXILIARY).lload(Locals.AUXILIARY);
        shiftLeft(1);
        code.lxor().lconst_0().lcmp();
      }
      default -> {
        code.loadConstant(condition & ~1)
            .lload(Locals.RESULT)
            .lload(Locals.AUXILIARY)
            .invokestatic(FLAGS, "test", method(Z, I, J, J));
        if (positive) {
          code.ifne(target);
        } else {
          code.ifeq(target);
        }
        return;
      }
    }
    if (positive) {
      code.iflt(target);
    } else {
      code.ifge(target);
    }
  }

  private void jumpIfCompared(int group, boolean positive, Label target) {
    if (group == 4) {
      code.lload(Locals.RESULT).lconst_0().lcmp();
    } else {
      code.lload(Locals.COMPARED).lload(Locals.COMPARED_WITH);
      if (group == 1 || group == 3) {
        code.invokestatic(type(Long.class), "compareUnsigned", method(I, J, J));
      } else {
        code.lcmp();
      }
    }
    switch (group) {
      case 2 -> branch(positive ? Branch.EQUAL : Branch.UNEQUAL, target);
      case 3, 7 -> branch(positive ? Branch.NOT_ABOVE : Branch.ABOVE, target);
      default -> branch(positive ? Branch.BELOW : Branch.NOT_BELOW, target);
    }
  }

  private void jumpIfLogic(int group, boolean positive, Label target) {
    if (group == 0 || group == 1) {
      if (!positive) {
        code.goto_(target);
      }
      return;
    }
    code.lload(Locals.RESULT).lconst_0().lcmp();
    switch (group) {
      case 2, 3 -> branch(positive ? Branch.EQUAL : Branch.UNEQUAL, target);
      case 7 -> branch(positive ? Branch.NOT_ABOVE : Branch.ABOVE, target);
      default -> branch(positive ? Branch.BELOW : Branch.NOT_BELOW, target);
    }
  }

  private enum Branch {
    EQUAL,
    UNEQUAL,
    BELOW,
    NOT_BELOW,
    ABOVE,
    NOT_ABOVE
  }

  private void branch(Branch kind, Label target) {
    switch (kind) {
      case EQUAL -> code.ifeq(target);
      case UNEQUAL -> code.ifne(target);
      case BELOW -> code.iflt(target);
      case NOT_BELOW -> code.ifge(target);
      case ABOVE -> code.ifgt(target);
      case NOT_ABOVE -> code.ifle(target);
    }
  }

  // ---- operations

  /**
   * Emits an operation that does not end the block.
   *
   * @param flagsLive whether anyone may see the flags that it leaves
   */
  void emit(MicroOperation o, boolean flagsLive) {
    switch (o.code) {
      case MicroCode.MOVE -> {
        pushSourceShifted(o);
        shiftRight(o.shift);
        popMerged(o);
      }
      case MicroCode.MOVE64 -> {
        pushSource(o);
        pop(o.destination);
      }
      case MicroCode.SIGN_EXTEND -> {
        pushSourceShifted(o);
        shiftRightArithmetic(o.shift);
        shiftLeft(o.targetShift);
        shiftRight(o.targetShift);
        popMerged(o);
      }
      case MicroCode.EXTRACT_HIGH -> {
        push(o.second);
        shiftRight(8);
        code.loadConstant(0xffL).land();
        pop(o.destination);
      }
      case MicroCode.INSERT_HIGH -> {
        push(o.destination);
        code.loadConstant(~0xff00L).land();
        push(o.second);
        code.loadConstant(0xffL).land();
        shiftLeft(8);
        code.lor();
        pop(o.destination);
      }
      case MicroCode.ADDRESS -> {
        pushLinear(o);
        shiftLeft(o.shift);
        shiftRight(o.shift);
        popMerged(o);
      }
      case MicroCode.ADD, MicroCode.ADD_CARRY -> addition(o, flagsLive);
      case MicroCode.SUBTRACT, MicroCode.COMPARE -> subtraction(o, flagsLive);
      case MicroCode.SUBTRACT_BORROW -> subtractBorrow(o, flagsLive);
      case MicroCode.AND, MicroCode.OR, MicroCode.XOR, MicroCode.TEST -> logic(o, flagsLive);
      case MicroCode.INCREMENT, MicroCode.DECREMENT -> step(o, flagsLive);
      case MicroCode.NEGATE -> negate(o, flagsLive);
      case MicroCode.NOT -> {
        push(o.first);
        code.loadConstant(-1L).lxor();
        shiftLeft(o.shift);
        shiftRight(o.shift);
        popMerged(o);
      }
      case MicroCode.SHIFT_LEFT -> shift(o, flagsLive, "left");
      case MicroCode.SHIFT_RIGHT -> shift(o, flagsLive, "right");
      case MicroCode.SHIFT_RIGHT_ARITHMETIC -> shift(o, flagsLive, "rightArithmetic");
      case MicroCode.ROTATE_LEFT -> rotate(o, flagsLive, "rotateLeft");
      case MicroCode.ROTATE_RIGHT -> rotate(o, flagsLive, "rotateRight");
      case MicroCode.MULTIPLY -> multiply(o, flagsLive);
      case MicroCode.SET_IF -> setIf(o);
      case MicroCode.MOVE_IF -> moveIf(o);
      case MicroCode.BIT_TEST -> {
        code.lload(Locals.AUXILIARY);
        push(o.first);
        pushSource(o);
        code.loadConstant((long) (63 - o.shift)).land().l2i().lushr().loadConstant(1L).land();
        code.invokestatic(FLAGS, "withCarry", method(J, J, J)).lstore(Locals.AUXILIARY);
        known = Known.NOTHING;
      }
      case MicroCode.LOAD8 -> load(o, 1, false);
      case MicroCode.LOAD16 -> load(o, 2, false);
      case MicroCode.LOAD32 -> load(o, 4, false);
      case MicroCode.LOAD64 -> load(o, 8, false);
      case MicroCode.LOAD_SIGNED8 -> load(o, 1, true);
      case MicroCode.LOAD_SIGNED16 -> load(o, 2, true);
      case MicroCode.LOAD_SIGNED32 -> load(o, 4, true);
      case MicroCode.LOAD_FOR_UPDATE -> loadForUpdate(o);
      case MicroCode.STORE8 -> store(o, 1);
      case MicroCode.STORE16 -> store(o, 2);
      case MicroCode.STORE32 -> store(o, 4);
      case MicroCode.STORE64 -> store(o, 8);
      case MicroCode.LOAD128 -> loadVector(o);
      case MicroCode.STORE128 -> storeVector(o);
      case MicroCode.PUSH64 -> {
        pushSource(o);
        code.lstore(Locals.VALUE);
        pushOnStack(o);
      }
      case MicroCode.POP64 -> {
        push(Slot.RSP);
        code.lstore(Locals.LINEAR);
        loadAtLinear(o, 8, false);
        code.lload(Locals.LINEAR).loadConstant(8L).ladd();
        pop(Slot.RSP);
        code.lload(Locals.VALUE);
        pop(o.destination);
      }
      case MicroCode.STATE_HELPER -> {
        pushExecution();
        constants.push(code, o.stateHelper, type(StateHelper.class));
        constants.push(code, o, OPERATION);
        pushSite(o);
        code.invokevirtual(
            EXECUTION, "stateHelper", method(V, type(StateHelper.class), OPERATION, J, J, I, I));
        reloadFlags();
        valid = 0;
      }
      default -> throw new IllegalStateException("not to be emitted here: " + o);
    }
  }

  private void pushOperands(MicroOperation o, int first, int second) {
    push(o.first);
    shiftLeft(o.shift);
    code.lstore(first);
    pushSourceShifted(o);
    code.lstore(second);
  }

  /** Flags of the value in VALUE, whose operands are in two locals. */
  private void arithmeticFlags(MicroOperation o, String auxiliary, int first, int second) {
    code.lload(Locals.VALUE);
    shiftRightArithmetic(o.shift);
    code.lload(first)
        .lload(second)
        .lload(Locals.VALUE)
        .loadConstant(o.shift)
        .invokestatic(FLAGS, auxiliary, method(J, J, J, J, I));
  }

  private void popValueMerged(MicroOperation o) {
    code.lload(Locals.VALUE);
    shiftRight(o.shift);
    popMerged(o);
  }

  private void carryShifted(MicroOperation o) {
    code.lload(Locals.AUXILIARY);
    shiftRight(63);
    shiftLeft(o.shift);
  }

  private void addition(MicroOperation o, boolean flagsLive) {
    pushOperands(o, Locals.FIRST, Locals.SECOND);
    code.lload(Locals.FIRST).lload(Locals.SECOND).ladd();
    if (o.code == MicroCode.ADD_CARRY) {
      carryShifted(o);
      code.ladd();
    }
    code.lstore(Locals.VALUE);
    if (flagsLive) {
      arithmeticFlags(o, "auxiliaryOfAddition", Locals.FIRST, Locals.SECOND);
      popFlags(Known.NOTHING);
    }
    popValueMerged(o);
  }

  private void subtraction(MicroOperation o, boolean flagsLive) {
    if (!flagsLive && o.code == MicroCode.COMPARE) {
      return;
    }
    int first = flagsLive ? Locals.COMPARED : Locals.FIRST;
    int second = flagsLive ? Locals.COMPARED_WITH : Locals.SECOND;
    pushOperands(o, first, second);
    code.lload(first).lload(second).lsub().lstore(Locals.VALUE);
    if (flagsLive) {
      arithmeticFlags(o, "auxiliaryOfSubtraction", first, second);
      popFlags(Known.COMPARISON);
    }
    if (o.code == MicroCode.SUBTRACT) {
      popValueMerged(o);
    }
  }

  private void subtractBorrow(MicroOperation o, boolean flagsLive) {
    pushOperands(o, Locals.FIRST, Locals.SECOND);
    code.lload(Locals.FIRST).lload(Locals.SECOND).lsub();
    carryShifted(o);
    code.lsub().lstore(Locals.VALUE);
    if (flagsLive) {
      arithmeticFlags(o, "auxiliaryOfSubtraction", Locals.FIRST, Locals.SECOND);
      popFlags(Known.NOTHING);
    }
    popValueMerged(o);
  }

  private void logic(MicroOperation o, boolean flagsLive) {
    if (!flagsLive && o.code == MicroCode.TEST) {
      return;
    }
    push(o.first);
    pushSource(o);
    switch (o.code) {
      case MicroCode.OR -> code.lor();
      case MicroCode.XOR -> code.lxor();
      default -> code.land();
    }
    shiftLeft(o.shift);
    code.lstore(Locals.VALUE);
    if (flagsLive) {
      code.lload(Locals.VALUE);
      shiftRightArithmetic(o.shift);
      code.lconst_0();
      popFlags(Known.LOGIC);
    }
    if (o.code != MicroCode.TEST) {
      popValueMerged(o);
    }
  }

  private void step(MicroOperation o, boolean flagsLive) {
    long one = 1L << o.shift;
    push(o.first);
    shiftLeft(o.shift);
    code.lstore(Locals.FIRST).loadConstant(one).lstore(Locals.SECOND);
    code.lload(Locals.FIRST).lload(Locals.SECOND);
    boolean up = o.code == MicroCode.INCREMENT;
    if (up) {
      code.ladd();
    } else {
      code.lsub();
    }
    code.lstore(Locals.VALUE);
    if (flagsLive) {
      arithmeticFlags(
          o, up ? "auxiliaryOfAddition" : "auxiliaryOfSubtraction", Locals.FIRST, Locals.SECOND);
      code.lload(Locals.AUXILIARY);
      shiftRight(63);
      code.invokestatic(FLAGS, "withCarry", method(J, J, J));
      popFlags(Known.NOTHING);
    }
    popValueMerged(o);
  }

  private void negate(MicroOperation o, boolean flagsLive) {
    push(o.first);
    shiftLeft(o.shift);
    code.lstore(Locals.SECOND).lconst_0().lstore(Locals.FIRST);
    code.lload(Locals.SECOND).lneg().lstore(Locals.VALUE);
    if (flagsLive) {
      arithmeticFlags(o, "auxiliaryOfSubtraction", Locals.FIRST, Locals.SECOND);
      popFlags(Known.NOTHING);
    }
    popValueMerged(o);
  }

  private void shift(MicroOperation o, boolean flagsLive, String name) {
    if (o.second != Slot.ZERO) {
      shiftByRegister(o, name);
      return;
    }
    int count = Shifts.count(o.immediate, o.shift);
    push(o.first);
    code.lstore(Locals.FIRST);
    code.lload(Locals.FIRST)
        .loadConstant(count)
        .loadConstant(o.shift)
        .invokestatic(SHIFTS, name + "Value", method(J, J, I, I))
        .lstore(Locals.VALUE);
    if (flagsLive && count != 0) {
      code.lload(Locals.VALUE);
      shiftLeft(o.shift);
      shiftRightArithmetic(o.shift);
      code.lload(Locals.FIRST)
          .loadConstant(count)
          .loadConstant(o.shift)
          .invokestatic(SHIFTS, name + "Auxiliary", method(J, J, I, I));
      popFlags(Known.NOTHING);
    }
    code.lload(Locals.VALUE);
    popMerged(o);
  }

  private void shiftByRegister(MicroOperation o, String name) {
    storeFlags();
    pushState();
    push(o.first);
    pushSource(o);
    code.loadConstant(o.shift).invokestatic(SHIFTS, name, method(J, STATE, J, J, I));
    popMerged(o);
    reloadFlags();
  }

  private void rotate(MicroOperation o, boolean flagsLive, String name) {
    if (o.second != Slot.ZERO) {
      shiftByRegister(o, name);
      return;
    }
    int count = Shifts.count(o.immediate, o.shift);
    push(o.first);
    code.loadConstant(count)
        .loadConstant(o.shift)
        .invokestatic(SHIFTS, name + "Value", method(J, J, I, I))
        .lstore(Locals.VALUE);
    if (flagsLive && count != 0) {
      code.lload(Locals.AUXILIARY)
          .lload(Locals.VALUE)
          .loadConstant(o.shift)
          .invokestatic(SHIFTS, name + "Auxiliary", method(J, J, J, I))
          .lstore(Locals.AUXILIARY);
      known = Known.NOTHING;
    }
    code.lload(Locals.VALUE);
    popMerged(o);
  }

  private void multiply(MicroOperation o, boolean flagsLive) {
    push(o.first);
    shiftLeft(o.shift);
    shiftRightArithmetic(o.shift);
    code.lstore(Locals.FIRST);
    pushSourceShifted(o);
    shiftRightArithmetic(o.shift);
    code.lstore(Locals.SECOND);
    code.lload(Locals.FIRST).lload(Locals.SECOND).lmul();
    shiftLeft(o.shift);
    code.lstore(Locals.VALUE);
    if (flagsLive) {
      code.lload(Locals.VALUE);
      shiftRightArithmetic(o.shift);
      code.lload(Locals.FIRST)
          .lload(Locals.SECOND)
          .loadConstant(o.shift)
          .invokestatic(type(Multiplication.class), "truncationAuxiliary", method(J, J, J, I));
      popFlags(Known.NOTHING);
    }
    popValueMerged(o);
  }

  private void setIf(MicroOperation o) {
    Label yes = code.newLabel();
    Label done = code.newLabel();
    jumpIf(o.condition, false, yes);
    code.lconst_0().lstore(Locals.VALUE).goto_(done);
    code.labelBinding(yes).lconst_1().lstore(Locals.VALUE);
    code.labelBinding(done).lload(Locals.VALUE);
    popMerged(o);
  }

  private void moveIf(MicroOperation o) {
    Label yes = code.newLabel();
    Label done = code.newLabel();
    push(o.second);
    code.lstore(Locals.FIRST);
    push(o.destination);
    code.lstore(Locals.VALUE);
    jumpIf(o.condition, false, yes);
    code.goto_(done);
    code.labelBinding(yes).lload(Locals.FIRST).lstore(Locals.VALUE);
    code.labelBinding(done).lload(Locals.VALUE);
    shiftLeft(o.shift);
    shiftRight(o.shift);
    popMerged(o);
  }

  // ---- memory

  /**
   * Compares the tag of the fast table for the access at LINEAR; falls through on a hit, with INDEX
   * set.
   */
  private void probe(long[] table, int bytes, Label miss) {
    constants.push(code, table, LONGS);
    code.lload(Locals.LINEAR)
        .invokestatic(MEMORY, "entry", method(I, J))
        .dup()
        .istore(Locals.INDEX)
        .laload()
        .lload(Locals.LINEAR);
    if (bytes > 1) {
      code.loadConstant((long) bytes - 1).ladd();
    }
    code.loadConstant(TranslatedMemory.PAGE).land().lload(Locals.CONTEXT).lor().lcmp().ifne(miss);
  }

  /** Pushes the host address after a hit. */
  private void pushHost(long[] table) {
    code.lload(Locals.LINEAR);
    constants.push(code, table, LONGS);
    code.iload(Locals.INDEX).iconst_1().iadd().laload().ladd();
  }

  private void readHost(int bytes, boolean signed) {
    switch (bytes) {
      case 1 -> code.invokestatic(HOST, "getByte", method(ConstantDescs.CD_byte, J)).i2l();
      case 2 -> code.invokestatic(HOST, "getShort", method(ConstantDescs.CD_short, J)).i2l();
      case 4 -> code.invokestatic(HOST, "getInt", method(I, J)).i2l();
      default -> code.invokestatic(HOST, "getLong", method(J, J));
    }
    if (!signed && bytes < 8) {
      code.loadConstant((1L << 8 * bytes) - 1).land();
    }
  }

  private void load(MicroOperation o, int bytes, boolean signed) {
    pushLinear(o);
    code.lstore(Locals.LINEAR);
    loadAtLinear(o, bytes, signed);
    code.lload(Locals.VALUE);
    if (signed) {
      shiftLeft(o.targetShift);
      shiftRight(o.targetShift);
    }
    popMerged(o);
  }

  /** VALUE = memory at LINEAR. */
  private void loadAtLinear(MicroOperation o, int bytes, boolean signed) {
    Label miss = code.newLabel();
    Label done = code.newLabel();
    probe(memory.readTable, bytes, miss);
    pushHost(memory.readTable);
    readHost(bytes, signed);
    code.lstore(Locals.VALUE).goto_(done).labelBinding(miss);
    pushExecution();
    code.lload(Locals.LINEAR);
    pushSite(o);
    code.invokevirtual(EXECUTION, "load" + 8 * bytes, method(J, J, J, J, I, I));
    if (signed) {
      shiftLeft(64 - 8 * bytes);
      shiftRightArithmetic(64 - 8 * bytes);
    }
    code.lstore(Locals.VALUE).labelBinding(done);
  }

  private void loadForUpdate(MicroOperation o) {
    int bytes = 64 - o.shift >> 3;
    Label miss = code.newLabel();
    Label done = code.newLabel();
    pushLinear(o);
    code.lstore(Locals.LINEAR);
    // What may be written may be read, from the same place.
    probe(memory.writeTable, bytes, miss);
    pushHost(memory.writeTable);
    readHost(bytes, false);
    code.lstore(Locals.VALUE).goto_(done).labelBinding(miss);
    pushExecution();
    code.lload(Locals.LINEAR).loadConstant(bytes);
    pushSite(o);
    code.invokevirtual(EXECUTION, "loadForUpdate", method(J, J, I, J, J, I, I))
        .lstore(Locals.VALUE)
        .labelBinding(done)
        .lload(Locals.VALUE);
    pop(o.destination);
  }

  private void store(MicroOperation o, int bytes) {
    pushLinear(o);
    code.lstore(Locals.LINEAR);
    pushSource(o);
    code.lstore(Locals.VALUE);
    storeAtLinear(o, bytes);
  }

  /** Memory at LINEAR = VALUE. */
  private void storeAtLinear(MicroOperation o, int bytes) {
    Label miss = code.newLabel();
    Label done = code.newLabel();
    probe(memory.writeTable, bytes, miss);
    pushHost(memory.writeTable);
    code.lload(Locals.VALUE);
    switch (bytes) {
      case 1 -> code.l2i().i2b().invokestatic(HOST, "putByte", method(V, J, ConstantDescs.CD_byte));
      case 2 ->
          code.l2i().i2s().invokestatic(HOST, "putShort", method(V, J, ConstantDescs.CD_short));
      case 4 -> code.l2i().invokestatic(HOST, "putInt", method(V, J, I));
      default -> code.invokestatic(HOST, "putLong", method(V, J, J));
    }
    code.goto_(done).labelBinding(miss);
    pushExecution();
    code.lload(Locals.LINEAR).lload(Locals.VALUE).loadConstant(bytes);
    pushSite(o);
    code.invokevirtual(EXECUTION, "store", method(V, J, J, I, J, J, I, I)).labelBinding(done);
  }

  /** Pushes VALUE on the guest's stack. */
  void pushOnStack(MicroOperation o) {
    push(Slot.RSP);
    code.loadConstant(8L).lsub().lstore(Locals.LINEAR);
    storeAtLinear(o, 8);
    code.lload(Locals.LINEAR);
    pop(Slot.RSP);
  }

  /** VALUE = what is on top of the guest's stack; LINEAR is its address. */
  void loadFromStack(MicroOperation o) {
    push(Slot.RSP);
    code.lstore(Locals.LINEAR);
    loadAtLinear(o, 8, false);
  }

  private void loadVector(MicroOperation o) {
    Label miss = code.newLabel();
    Label done = code.newLabel();
    pushLinear(o);
    code.lstore(Locals.LINEAR);
    requireAligned(o, miss);
    probe(memory.readTable, 16, miss);
    for (int half = 0; half < 2; half++) {
      pushFile();
      code.loadConstant(o.destination + half);
      pushHost(memory.readTable);
      if (half == 1) {
        code.loadConstant(8L).ladd();
      }
      readHost(8, false);
      code.lastore();
    }
    code.goto_(done).labelBinding(miss);
    vectorSlowPath(o, "loadVector");
    code.labelBinding(done);
  }

  private void storeVector(MicroOperation o) {
    Label miss = code.newLabel();
    Label done = code.newLabel();
    pushLinear(o);
    code.lstore(Locals.LINEAR);
    requireAligned(o, miss);
    probe(memory.writeTable, 16, miss);
    for (int half = 0; half < 2; half++) {
      pushHost(memory.writeTable);
      if (half == 1) {
        code.loadConstant(8L).ladd();
      }
      pushFile();
      code.loadConstant(o.second + half).laload().invokestatic(HOST, "putLong", method(V, J, J));
    }
    code.goto_(done).labelBinding(miss);
    vectorSlowPath(o, "storeVector");
    code.labelBinding(done);
  }

  private void requireAligned(MicroOperation o, Label miss) {
    if (o.aligned) {
      code.lload(Locals.LINEAR).loadConstant(15L).land().lconst_0().lcmp().ifne(miss);
    }
  }

  private void vectorSlowPath(MicroOperation o, String name) {
    pushExecution();
    constants.push(code, o, OPERATION);
    code.lload(Locals.LINEAR);
    pushSite(o);
    code.invokevirtual(EXECUTION, name, method(V, OPERATION, J, J, J, I, I));
  }

  // ---- what may end a block

  /** Raises #GP(0) unless TARGET is canonical. */
  void checkTarget(MicroOperation o) {
    pushExecution();
    code.lload(Locals.TARGET);
    pushSite(o);
    code.invokevirtual(EXECUTION, "checkTarget", method(V, J, J, J, I, I));
  }

  /**
   * Calls a helper on the processor, in the middle of a block.
   *
   * @return where code goes on that must leave the region at the end of the instruction
   */
  Label processorHelper(MicroOperation o) {
    Label leave = code.newLabel();
    callProcessorHelper(o);
    code.ifne(leave);
    return leave;
  }

  /** Calls a helper in the middle of an instruction, at whose end the region need not be left. */
  void innerHelper(MicroOperation o) {
    callProcessorHelper(o);
    code.pop();
  }

  private void callProcessorHelper(MicroOperation o) {
    pushExecution();
    constants.push(code, o.processorHelper, type(ProcessorHelper.class));
    constants.push(code, o, OPERATION);
    pushSite(o);
    code.invokevirtual(
        EXECUTION,
        "processorHelper",
        method(Z, type(ProcessorHelper.class), OPERATION, J, J, I, I));
    reloadFlags();
    valid = 0;
  }

  /** Calls a helper that ends the block; afterwards the processor's state has all there is. */
  void endingHelper(MicroOperation o) {
    pushExecution();
    constants.push(code, o.processorHelper, type(ProcessorHelper.class));
    constants.push(code, o, OPERATION);
    pushSite(o);
    code.invokevirtual(
        EXECUTION, "endingHelper", method(V, type(ProcessorHelper.class), OPERATION, J, J, I, I));
    code.iload(Locals.REMAINING).ireturn();
  }

  /** Stores flags and RIP, which is in TARGET, and returns. */
  static void emitExit(CodeBuilder code, Constants constants, ProcessorState state) {
    constants.push(code, state, STATE);
    code.lload(Locals.TARGET).putfield(STATE, "rip", J);
    constants.push(code, state, STATE);
    code.lload(Locals.RESULT).putfield(STATE, "flagResult", J);
    constants.push(code, state, STATE);
    code.lload(Locals.AUXILIARY).putfield(STATE, "flagAuxiliary", J);
    code.iload(Locals.REMAINING).ireturn();
  }

  /** Sets flags and context, at the start of the method. */
  static void emitStart(
      CodeBuilder code, Constants constants, ProcessorState state, TranslatedMemory memory) {
    constants.push(code, memory, MEMORY);
    code.getfield(MEMORY, "context", J).lstore(Locals.CONTEXT);
    constants.push(code, state, STATE);
    code.getfield(STATE, "flagResult", J).lstore(Locals.RESULT);
    constants.push(code, state, STATE);
    code.getfield(STATE, "flagAuxiliary", J).lstore(Locals.AUXILIARY);
  }
}
