package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import java.util.ArrayList;
import java.util.List;

/**
 * Collects the micro-operations of one block. Lifters call it; it knows how registers, immediates
 * and addresses become slots, in each code width.
 */
public final class Emitter {
  private final int codeWidth;
  private final int stackWidth;
  private final List<MicroOperation> operations = new ArrayList<>();
  private Instruction instruction;
  private int offset;
  private int ordinal = -1;
  private int firstOfInstruction;
  private int temporaries;
  private int vectorTemporaries;
  private boolean vectorChecked;
  private boolean ended;

  /**
   * @param codeWidth 16, 32 or 64
   * @param stackWidth 16, 32 or 64
   */
  public Emitter(int codeWidth, int stackWidth) {
    this.codeWidth = codeWidth;
    this.stackWidth = stackWidth;
  }

  /**
   * Starts the micro-operations of an instruction at {@code offset} bytes from the start of the
   * block.
   */
  public void begin(Instruction next, int instructionOffset) {
    closeInstruction();
    instruction = next;
    offset = instructionOffset;
    ordinal++;
    firstOfInstruction = operations.size();
    temporaries = 0;
    vectorTemporaries = 0;
  }

  private void closeInstruction() {
    for (int i = firstOfInstruction; i < operations.size(); i++) {
      operations.get(i).nextInstruction = operations.size();
    }
  }

  /**
   * Ends the block; if its last instruction does not end it by itself, execution falls through to
   * the next.
   */
  public MicroOperation[] finish() {
    if (!ended) {
      MicroOperation jump = append(MicroCode.JUMP);
      jump.immediate = offset + instruction.length();
      jump.shift = 64 - codeWidth;
    }
    closeInstruction();
    return operations.toArray(MicroOperation[]::new);
  }

  /** Whether the last instruction ended the block. */
  public boolean ended() {
    return ended;
  }

  /** Number of instructions begun. */
  public int instructions() {
    return ordinal + 1;
  }

  public int codeWidth() {
    return codeWidth;
  }

  public int stackWidth() {
    return stackWidth;
  }

  /** Offset of the next instruction from the start of the block. */
  public int nextOffset() {
    return offset + instruction.length();
  }

  /** Appends a micro-operation of the current instruction for the caller to fill in. */
  public MicroOperation append(int code) {
    MicroOperation operation = new MicroOperation();
    operation.code = code;
    operation.instruction = instruction;
    operation.offset = offset;
    operation.ordinal = Math.max(ordinal, 0);
    operations.add(operation);
    return operation;
  }

  /** A slot for a value that lives until the end of the instruction. */
  public int temporary() {
    if (temporaries == Slot.TEMPORARIES) {
      throw new IllegalStateException("too many temporaries in " + instruction);
    }
    return Slot.TEMPORARY + temporaries++;
  }

  /** Slot of the low quadword of a 128-bit temporary. */
  public int vectorTemporary() {
    if (vectorTemporaries == 4) {
      throw new IllegalStateException("too many vector temporaries in " + instruction);
    }
    return Slot.VECTOR_TEMPORARY + 2 * vectorTemporaries++;
  }

  /** Bits of a register that stay when an operand of the width is written. */
  public static long keep(int width) {
    return width == 8 ? ~0xffL : width == 16 ? ~0xffffL : 0;
  }

  /** Whether an 8-bit register number means AH, CH, DH or BH. */
  private static boolean isHighByte(Instruction i, int register, int width) {
    return width == 8 && !i.hasRex() && register >= 4 && register < 8;
  }

  /** Slot whose low {@code width} bits hold the general register; bits above them are arbitrary. */
  public int readGeneral(int register, int width) {
    if (isHighByte(instruction, register, width)) {
      MicroOperation extract = append(MicroCode.EXTRACT_HIGH);
      extract.destination = temporary();
      extract.second = register - 4;
      return extract.destination;
    }
    return register;
  }

  /**
   * Writes the low {@code width} bits of a slot to a general register, as an instruction of that
   * width does.
   */
  public void writeGeneral(int register, int width, int slot) {
    if (isHighByte(instruction, register, width)) {
      MicroOperation insert = append(MicroCode.INSERT_HIGH);
      insert.destination = register - 4;
      insert.second = slot;
    } else {
      move(register, width, slot, 0);
    }
  }

  /**
   * Slot that an operation of the width may name as its destination, for a general register: the
   * register's own slot, or a temporary which {@link #writeGeneral} must then copy.
   */
  public int resultSlot(int register, int width) {
    return isHighByte(instruction, register, width) ? temporary() : register;
  }

  /** The operation's {@code keep} for a result slot from {@link #resultSlot}. */
  public static long keepFor(int slot, int width) {
    return slot < Slot.ZERO ? keep(width) : 0;
  }

  /** r[destination] = slot + immediate with the width's merge rule. */
  public void move(int destination, int width, int slot, long immediate) {
    MicroOperation move = append(width == 64 ? MicroCode.MOVE64 : MicroCode.MOVE);
    move.destination = destination;
    move.second = slot;
    move.immediate = immediate;
    move.shift = 64 - width;
    move.keep = keepFor(destination, width);
  }

  /** An arithmetic micro-operation: destination = first OP (second + immediate). */
  public MicroOperation arithmetic(
      int code, int width, int destination, int first, int second, long immediate) {
    MicroOperation operation = append(code);
    operation.destination = destination;
    operation.first = first;
    operation.second = second;
    operation.immediate = immediate;
    operation.shift = 64 - width;
    operation.keep = keepFor(destination, width);
    return operation;
  }

  /** Calls a helper on registers; the caller fills in the fields that it reads. */
  public MicroOperation stateHelper(StateHelper helper) {
    MicroOperation operation = append(MicroCode.STATE_HELPER);
    operation.stateHelper = helper;
    return operation;
  }

  /**
   * Calls a helper on the processor; execution goes on with the next instruction. A helper that is
   * not the last operation of its instruction must access no device.
   */
  public MicroOperation processorHelper(ProcessorHelper helper) {
    MicroOperation operation = append(MicroCode.PROCESSOR_HELPER);
    operation.processorHelper = helper;
    return operation;
  }

  /** Calls a helper on the processor that may change RIP, modes or translations; the block ends. */
  public MicroOperation processorHelperEnd(ProcessorHelper helper) {
    MicroOperation operation = append(MicroCode.PROCESSOR_HELPER_END);
    operation.processorHelper = helper;
    ended = true;
    return operation;
  }

  /** Raises an exception without error code, usually #UD. */
  public void raise(int vector) {
    processorHelperEnd((processor, operation) -> {
      throw ProcessorException.of(vector);
    });
  }

  /** Marks the block as ended by the micro-operation just appended. */
  public void end() {
    ended = true;
  }

  /**
   * Raises #UD or #NM unless SSE instructions may execute (CR0.EM, CR0.TS, CR4.OSFXSR). Control
   * registers do not change inside a block, so the first SSE instruction checks for all.
   */
  public void requireVector() {
    if (!vectorChecked) {
      vectorChecked = true;
      stateHelper(Availability::requireVector);
    }
  }

  /** The address of the ModRM memory operand. */
  public Memory memory(Instruction i, int bytes, boolean write) {
    long displacement = i.displacement();
    if (i.ripRelative()) {
      displacement += nextOffset();
    }
    return memory(
        i.base(), i.index(), i.scale(), displacement, i.addressWidth(), i.segment(), bytes, write);
  }

  /**
   * The effective address (offset into the segment) of the ModRM memory operand, as LEA computes
   * it.
   */
  public MicroOperation effectiveAddress(int destination, Instruction i, int width) {
    MicroOperation address = append(MicroCode.ADDRESS);
    address.destination = destination;
    address.base = i.base();
    address.index = i.index();
    address.scale = i.scale();
    address.displacement = i.displacement() + (i.ripRelative() ? nextOffset() : 0);
    address.shift = 64 - width;
    address.keep = keepFor(destination, width);
    return address;
  }

  /**
   * The address of {@code segment:[base + (index << scale) + displacement]}.
   *
   * @param segment a {@link SegmentRegister}
   * @param bytes size of the access, for the limit check outside 64-bit mode
   */
  public Memory memory(
      int base,
      int index,
      int scale,
      long displacement,
      int addressWidth,
      int segment,
      int bytes,
      boolean write) {
    if (codeWidth == 64 && addressWidth == 64) {
      return new Memory(
          base, index, scale, displacement, segmentSlot64(segment), segment == SegmentRegister.SS);
    }
    MicroOperation address = append(MicroCode.ADDRESS);
    int slot = temporary();
    address.destination = slot;
    address.base = base;
    address.index = index;
    address.scale = scale;
    address.displacement = displacement;
    address.shift = 64 - addressWidth;
    return memoryAt(slot, segment, bytes, write);
  }

  /** The address of {@code segment:[slot]}, the slot holding an offset cut to the address width. */
  public Memory memoryAt(int slot, int segment, int bytes, boolean write) {
    if (codeWidth == 64) {
      return new Memory(
          slot, Slot.ZERO, 0, 0, segmentSlot64(segment), segment == SegmentRegister.SS);
    }
    MicroOperation check = stateHelper(Availability::segmentLinear);
    check.destination = temporary();
    check.first = slot;
    check.index = segment;
    check.immediate = bytes;
    check.condition = write ? 1 : 0;
    return new Memory(check.destination, Slot.ZERO, 0, 0, Slot.ZERO, false);
  }

  private static int segmentSlot64(int segment) {
    return segment == SegmentRegister.FS || segment == SegmentRegister.GS
        ? Slot.segmentBase(segment)
        : Slot.ZERO;
  }

  /**
   * For helpers that access memory by the linear address in a slot: raises #SS where an address
   * relative to the stack segment is not canonical. For others, the access itself raises #GP.
   */
  public void requireCanonical(Memory memory, int slot, int bytes) {
    if (memory.stack()) {
      MicroOperation check = stateHelper(Availability::requireCanonicalStack);
      check.first = slot;
      check.immediate = bytes;
    }
  }

  /** Sets the address of a micro-operation. */
  public static void address(MicroOperation operation, Memory memory) {
    operation.base = memory.base();
    operation.index = memory.index();
    operation.scale = memory.scale();
    operation.displacement = memory.displacement();
    operation.segmentBase = memory.segmentBase();
    operation.stack = memory.stack();
  }

  /** r[destination] = merge(memory), of 8, 16, 32 or 64 bits. */
  public void load(int destination, Memory memory, int width) {
    MicroOperation load =
        append(
            switch (width) {
              case 8 -> MicroCode.LOAD8;
              case 16 -> MicroCode.LOAD16;
              case 32 -> MicroCode.LOAD32;
              case 64 -> MicroCode.LOAD64;
              default -> throw new IllegalArgumentException("load of " + width + " bits");
            });
    load.destination = destination;
    load.shift = 64 - width;
    load.keep = keepFor(destination, width);
    address(load, memory);
  }

  /** Loads into a new temporary and returns it. */
  public int load(Memory memory, int width) {
    int slot = temporary();
    load(slot, memory, width);
    return slot;
  }

  /** Loads into a new temporary, faulting as the store that will follow would. */
  public int loadForUpdate(Memory memory, int width) {
    MicroOperation load = append(MicroCode.LOAD_FOR_UPDATE);
    load.destination = temporary();
    load.shift = 64 - width;
    address(load, memory);
    return load.destination;
  }

  /** Memory = slot + immediate, of 8, 16, 32 or 64 bits. */
  public void store(Memory memory, int width, int slot, long immediate) {
    MicroOperation store =
        append(
            switch (width) {
              case 8 -> MicroCode.STORE8;
              case 16 -> MicroCode.STORE16;
              case 32 -> MicroCode.STORE32;
              case 64 -> MicroCode.STORE64;
              default -> throw new IllegalArgumentException("store of " + width + " bits");
            });
    store.second = slot;
    store.immediate = immediate;
    store.shift = 64 - width;
    address(store, memory);
  }

  /** Loads 16 bytes into two consecutive slots. */
  public void loadVector(int slot, Memory memory, boolean aligned) {
    MicroOperation load = append(MicroCode.LOAD128);
    load.destination = slot;
    load.aligned = aligned;
    address(load, memory);
  }

  /** Stores 16 bytes from two consecutive slots. */
  public void storeVector(Memory memory, int slot, boolean aligned) {
    MicroOperation store = append(MicroCode.STORE128);
    store.second = slot;
    store.aligned = aligned;
    address(store, memory);
  }
}
