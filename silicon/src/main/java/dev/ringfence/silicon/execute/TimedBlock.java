package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;

/**
 * What the pipeline must know of a block's micro-operations: which slots they wait for, which they
 * make ready, and how long they take. One long each, so that the scoreboard needs no case
 * distinction.
 *
 * <pre>
 * bits  0 to 27   four slots of 7 bits that it waits for ({@link Slot#ZERO} is always ready)
 * bits 28 to 41   two slots of 7 bits that it makes ready ({@link #NOWHERE} is never waited for)
 * bits 42 to 53   latency in cycles
 * bits 54 to 58   {@link Kind}
 * bits 59 to 63   bytes of a memory access
 * </pre>
 */
final class TimedBlock {
  /** In place of a slot: the status flags. */
  static final int FLAGS = Slot.COUNT;

  /** In place of a slot: a result that nobody waits for. */
  static final int NOWHERE = Slot.COUNT + 1;

  /** Number of slots that times are kept for. */
  static final int SLOTS = Slot.COUNT + 2;

  private static final int SLOT_BITS = 7;
  private static final int SLOT_MASK = (1 << SLOT_BITS) - 1;
  private static final int SECOND_SHIFT = SLOT_BITS;
  private static final int THIRD_SHIFT = 2 * SLOT_BITS;
  private static final int FOURTH_SHIFT = 3 * SLOT_BITS;
  private static final int RESULT_SHIFT = 4 * SLOT_BITS;
  private static final int OTHER_RESULT_SHIFT = 5 * SLOT_BITS;
  private static final int LATENCY_SHIFT = 6 * SLOT_BITS;
  private static final int LATENCY_MASK = 0xfff;
  private static final int KIND_SHIFT = 54;
  private static final int KIND_MASK = 0x1f;
  private static final int BYTES_SHIFT = 59;

  /** Whose latencies these are. */
  Latencies latencies;

  /** No physical address. */
  static final long UNKNOWN = -1;

  /** Physical address of the first byte, or {@link #UNKNOWN}. */
  final long physical;

  /** By micro-operation. */
  final long[] timing;

  TimedBlock(Block block, Latencies latencies, long physical) {
    this.latencies = latencies;
    this.physical = physical;
    this.timing = new long[block.operations.length];
    for (int i = 0; i < timing.length; i++) {
      timing[i] = timing(block, i);
    }
  }

  private long timing(Block block, int index) {
    MicroOperation o = block.operations[index];
    int kind = kind(block, index);
    int latency = latencies.of(o, kind);
    int first = Slot.ZERO;
    int second = Slot.ZERO;
    int third = Slot.ZERO;
    int fourth = o.keep != 0 ? o.destination : Slot.ZERO;
    int result = o.destination == Slot.ZERO ? NOWHERE : o.destination;
    int otherResult = NOWHERE;
    int bytes = 0;
    switch (o.code) {
      case MicroCode.MOVE, MicroCode.MOVE64, MicroCode.SIGN_EXTEND, MicroCode.EXTRACT_HIGH ->
          first = o.second;
      case MicroCode.INSERT_HIGH -> {
        first = o.second;
        second = o.destination;
      }
      case MicroCode.ADD,
          MicroCode.SUBTRACT,
          MicroCode.AND,
          MicroCode.OR,
          MicroCode.XOR,
          MicroCode.NEGATE,
          MicroCode.SHIFT_LEFT,
          MicroCode.SHIFT_RIGHT,
          MicroCode.SHIFT_RIGHT_ARITHMETIC,
          MicroCode.MULTIPLY,
          MicroCode.INCREMENT,
          MicroCode.DECREMENT -> {
        if (!isZeroIdiom(o)) {
          first = o.first;
          second = o.second;
        }
        otherResult = FLAGS;
      }
      case MicroCode.ADD_CARRY,
          MicroCode.SUBTRACT_BORROW,
          MicroCode.ROTATE_LEFT,
          MicroCode.ROTATE_RIGHT -> {
        first = o.first;
        second = o.second;
        third = FLAGS;
        otherResult = FLAGS;
      }
      case MicroCode.COMPARE, MicroCode.TEST, MicroCode.BIT_TEST -> {
        first = o.first;
        second = o.second;
        result = NOWHERE;
        otherResult = FLAGS;
      }
      case MicroCode.NOT -> first = o.first;
      case MicroCode.SET_IF -> third = FLAGS;
      case MicroCode.MOVE_IF -> {
        first = o.second;
        second = o.destination;
        third = FLAGS;
      }
      case MicroCode.ADDRESS,
          MicroCode.LOAD8,
          MicroCode.LOAD16,
          MicroCode.LOAD32,
          MicroCode.LOAD64,
          MicroCode.LOAD_SIGNED8,
          MicroCode.LOAD_SIGNED16,
          MicroCode.LOAD_SIGNED32,
          MicroCode.LOAD_FOR_UPDATE,
          MicroCode.LOAD128,
          MicroCode.STORE8,
          MicroCode.STORE16,
          MicroCode.STORE32,
          MicroCode.STORE64,
          MicroCode.STORE128 -> {
        first = o.base;
        second = o.index;
        third = o.segmentBase;
        bytes = bytes(o);
        if (isStore(o.code)) {
          result = NOWHERE;
          fourth = Slot.ZERO;
        } else if (o.code == MicroCode.LOAD128) {
          otherResult = o.destination + 1;
        }
      }
      case MicroCode.PUSH64, MicroCode.CALL64, MicroCode.CALL_INDIRECT64 -> {
        first = Slot.RSP;
        result = NOWHERE;
        bytes = 8;
      }
      case MicroCode.POP64, MicroCode.RETURN64 -> {
        first = Slot.RSP;
        bytes = 8;
        result = o.code == MicroCode.POP64 ? o.destination : NOWHERE;
      }
      case MicroCode.STATE_HELPER -> {
        first = o.first;
        second = o.second;
        third = o.destination;
        fourth = FLAGS;
        otherResult = o.destination >= Slot.VECTOR ? o.destination + 1 : FLAGS;
        if (usesAccumulator(o.instruction)) {
          third = Slot.RAX;
          fourth = Slot.RDX;
          result = Slot.RAX;
          otherResult = Slot.RDX;
        }
      }
      case MicroCode.JUMP_INDIRECT64 -> {
        first = o.second;
        result = NOWHERE;
      }
      case MicroCode.PROCESSOR_HELPER, MicroCode.PROCESSOR_HELPER_END, MicroCode.JUMP -> {
        fourth = Slot.ZERO;
        result = NOWHERE;
      }
      default -> {
        // Conditional jumps.
        first = FLAGS;
        fourth = Slot.ZERO;
        result = NOWHERE;
      }
    }
    return first
        | (long) second << SECOND_SHIFT
        | (long) third << THIRD_SHIFT
        | (long) fourth << FOURTH_SHIFT
        | (long) result << RESULT_SHIFT
        | (long) otherResult << OTHER_RESULT_SHIFT
        | (long) latency << LATENCY_SHIFT
        | (long) kind << KIND_SHIFT
        | (long) bytes << BYTES_SHIFT;
  }

  private static int kind(Block block, int index) {
    MicroOperation o = block.operations[index];
    boolean helper =
        o.code == MicroCode.PROCESSOR_HELPER || o.code == MicroCode.PROCESSOR_HELPER_END;
    if (helper && index == 0 && block.probed) {
      return Kind.PROBE;
    }
    if (o.code == MicroCode.JUMP && !o.instruction.mnemonic().equals("JMP")) {
      return Kind.FALL_THROUGH;
    }
    int kind = Kind.of(o.instruction);
    boolean last = o.nextInstruction == index + 1;
    return switch (kind) {
      case Kind.LOCKED -> o.code == MicroCode.LOAD_FOR_UPDATE || helper ? kind : Kind.PLAIN;
      case Kind.STREAMING_STORE -> isStore(o.code) ? kind : Kind.PLAIN;
      case Kind.PLAIN -> helper ? Kind.MICROCODE : kind;
      default -> last ? kind : Kind.PLAIN;
    };
  }

  /** XOR and SUB of a register with itself depend on nothing. */
  private static boolean isZeroIdiom(MicroOperation o) {
    return (o.code == MicroCode.XOR || o.code == MicroCode.SUBTRACT)
        && o.first == o.second
        && o.immediate == 0;
  }

  /** Whether a helper has RAX and RDX as implied operands. */
  private static boolean usesAccumulator(Instruction instruction) {
    return switch (instruction.mnemonic()) {
      case "DIV", "IDIV", "MUL", "IMUL1", "CWD" -> true;
      default -> false;
    };
  }

  static boolean isStore(int code) {
    return code >= MicroCode.STORE8 && code <= MicroCode.STORE64 || code == MicroCode.STORE128;
  }

  private static int bytes(MicroOperation o) {
    return switch (o.code) {
      case MicroCode.LOAD8, MicroCode.LOAD_SIGNED8, MicroCode.STORE8 -> 1;
      case MicroCode.LOAD16, MicroCode.LOAD_SIGNED16, MicroCode.STORE16 -> 2;
      case MicroCode.LOAD32, MicroCode.LOAD_SIGNED32, MicroCode.STORE32 -> 4;
      case MicroCode.LOAD128, MicroCode.STORE128 -> 16;
      case MicroCode.LOAD_FOR_UPDATE -> 64 - o.shift >> 3;
      default -> 8;
    };
  }

  static int first(long timing) {
    return (int) timing & SLOT_MASK;
  }

  static int second(long timing) {
    return (int) (timing >>> SECOND_SHIFT) & SLOT_MASK;
  }

  static int third(long timing) {
    return (int) (timing >>> THIRD_SHIFT) & SLOT_MASK;
  }

  static int fourth(long timing) {
    return (int) (timing >>> FOURTH_SHIFT) & SLOT_MASK;
  }

  static int result(long timing) {
    return (int) (timing >>> RESULT_SHIFT) & SLOT_MASK;
  }

  static int otherResult(long timing) {
    return (int) (timing >>> OTHER_RESULT_SHIFT) & SLOT_MASK;
  }

  static int latency(long timing) {
    return (int) (timing >>> LATENCY_SHIFT) & LATENCY_MASK;
  }

  static int kind(long timing) {
    return (int) (timing >>> KIND_SHIFT) & KIND_MASK;
  }

  static int bytes(long timing) {
    return (int) (timing >>> BYTES_SHIFT);
  }
}
