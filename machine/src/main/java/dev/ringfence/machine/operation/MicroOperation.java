package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;

/**
 * One micro-operation; {@link MicroCode} says what each code does with the fields. Written by
 * {@link Emitter} only, and not changed after its block is published.
 */
public final class MicroOperation {
  public int code;
  public int destination = Slot.ZERO;
  public int first = Slot.ZERO;
  public int second = Slot.ZERO;
  public long immediate;

  /** 64 minus the operand width in bits. */
  public int shift;

  /** 64 minus the width to which SIGN_EXTEND and LOAD_SIGNED extend. */
  public int targetShift;

  /** Bits of the destination that stay: all ones above an 8 or 16-bit operand, else 0. */
  public long keep;

  public int base = Slot.ZERO;
  public int index = Slot.ZERO;
  public int scale;
  public long displacement;
  public int segmentBase = Slot.ZERO;

  /** A non-canonical address raises #SS instead of #GP. */
  public boolean stack;

  /** LOAD128, STORE128: the address must be a multiple of 16. */
  public boolean aligned;

  /** Condition code of SET_IF and MOVE_IF. */
  public int condition;

  public StateHelper stateHelper;
  public ProcessorHelper processorHelper;

  /** The instruction that this belongs to. */
  public Instruction instruction;

  /** Offset of that instruction from the start of the block in bytes. */
  public int offset;

  /** Number of instructions in the block before this one. */
  public int ordinal;

  /** Index in the block of the first micro-operation of the next instruction. */
  public int nextInstruction;

  /** Offset of the next instruction from the start of the block in bytes. */
  public int nextOffset() {
    return offset + instruction.length();
  }

  @Override
  public String toString() {
    return MicroCode.name(code)
        + " d="
        + destination
        + " a="
        + first
        + " b="
        + second
        + "+"
        + Long.toHexString(immediate)
        + " w="
        + (64 - shift)
        + " ["
        + base
        + "+"
        + index
        + "<<"
        + scale
        + "+"
        + Long.toHexString(displacement)
        + "] "
        + instruction;
  }
}
