package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.VectorOperands.appendEnterMmx;
import static dev.ringfence.machine.operation.VectorOperands.appendMmxWritten;
import static dev.ringfence.machine.operation.VectorOperands.generalSource;
import static dev.ringfence.machine.operation.VectorOperands.isMmx;
import static dev.ringfence.machine.operation.VectorOperands.mmx;
import static dev.ringfence.machine.operation.VectorOperands.scalarSource;
import static dev.ringfence.machine.operation.VectorOperands.source;
import static dev.ringfence.machine.operation.VectorOperands.vector;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import dev.ringfence.machine.paging.LinearMemory;
import java.util.Map;

/**
 * Moves of MMX and XMM registers: those that neither compute nor rearrange. They are plain
 * micro-operations, because they are most of the SSE instructions that programs execute.
 */
final class VectorLifters {
  private VectorLifters() {}

  static void register(Map<String, Lifter> lifters) {
    for (String mnemonic : new String[] {"MOVAPS", "MOVAPD", "MOVDQA", "MOVNTPS", "MOVNTPD"}) {
      lifters.put(mnemonic, (emitter, i) -> moveWhole(emitter, i, true));
    }
    lifters.put("MOVNTDQ", (emitter, i) -> moveWhole(emitter, i, true));
    lifters.put("MOVNTDQA", (emitter, i) -> moveWhole(emitter, i, true));
    for (String mnemonic : new String[] {"MOVUPS", "MOVUPD", "MOVDQU", "LDDQU"}) {
      lifters.put(mnemonic, (emitter, i) -> moveWhole(emitter, i, false));
    }
    lifters.put("MOVSS", (emitter, i) -> moveScalar(emitter, i, 32));
    lifters.put("MOVSD", (emitter, i) -> moveScalar(emitter, i, 64));
    lifters.put("MOVLPS", (emitter, i) -> moveHalf(emitter, i, 0));
    lifters.put("MOVLPD", (emitter, i) -> moveHalf(emitter, i, 0));
    lifters.put("MOVHPS", (emitter, i) -> moveHalf(emitter, i, 1));
    lifters.put("MOVHPD", (emitter, i) -> moveHalf(emitter, i, 1));
    lifters.put("MOVHLPS", (emitter, i) -> copyHalf(emitter, i, 0, 1));
    lifters.put("MOVLHPS", (emitter, i) -> copyHalf(emitter, i, 1, 0));
    lifters.put("MOVDDUP", VectorLifters::moveDuplicated);
    lifters.put("MOVD", (emitter, i) -> moveGeneral(emitter, i, 32));
    lifters.put("MOVQ", VectorLifters::moveQuadword);
    lifters.put("MOVNTQ", VectorLifters::moveQuadword);
    lifters.put("MOVQ2DQ", VectorLifters::moveMmxToVector);
    lifters.put("MOVDQ2Q", VectorLifters::moveVectorToMmx);
    lifters.put("EMMS", VectorLifters::emptyMmx);
    lifters.put("MASKMOVQ", VectorLifters::moveMasked);
    lifters.put("MASKMOVDQU", VectorLifters::moveMasked);
  }

  /** Whether the register named by ModRM.reg is the destination. */
  private static boolean isLoad(Instruction i) {
    Method first = i.definition().operands().getFirst().method();
    return first == Method.VECTOR || first == Method.MMX;
  }

  private static void copy(Emitter emitter, int destination, int source) {
    emitter.move(destination, 64, source, 0);
    emitter.move(destination + 1, 64, source + 1, 0);
  }

  private static void clear(Emitter emitter, int slot) {
    emitter.move(slot, 64, Slot.ZERO, 0);
  }

  private static void moveWhole(Emitter emitter, Instruction i, boolean aligned) {
    emitter.requireVector();
    boolean load = isLoad(i);
    if (!i.isMemory()) {
      int rm = Slot.vector(i.rm());
      copy(emitter, load ? vector(i) : rm, load ? rm : vector(i));
    } else if (load) {
      emitter.loadVector(vector(i), emitter.memory(i, 16, false), aligned);
    } else {
      emitter.storeVector(emitter.memory(i, 16, true), vector(i), aligned);
    }
  }

  /** MOVSS, MOVSD: memory loads clear the rest of the register, register moves keep it. */
  private static void moveScalar(Emitter emitter, Instruction i, int width) {
    emitter.requireVector();
    boolean load = isLoad(i);
    if (i.isMemory() && load) {
      emitter.load(vector(i), emitter.memory(i, width / 8, false), width);
      clear(emitter, vector(i) + 1);
    } else if (i.isMemory()) {
      emitter.store(emitter.memory(i, width / 8, true), width, vector(i), 0);
    } else {
      int rm = Slot.vector(i.rm());
      int destination = load ? vector(i) : rm;
      int source = load ? rm : vector(i);
      if (width == 64) {
        emitter.move(destination, 64, source, 0);
      } else {
        MicroOperation merge = emitter.stateHelper(ShuffleHelpers::mergeLowDoubleword);
        merge.destination = destination;
        merge.second = source;
      }
    }
  }

  /** MOVLPx, MOVHPx: memory and one half of the register. */
  private static void moveHalf(Emitter emitter, Instruction i, int half) {
    emitter.requireVector();
    if (isLoad(i)) {
      emitter.load(vector(i) + half, emitter.memory(i, 8, false), 64);
    } else {
      emitter.store(emitter.memory(i, 8, true), 64, vector(i) + half, 0);
    }
  }

  private static void copyHalf(Emitter emitter, Instruction i, int to, int from) {
    emitter.requireVector();
    emitter.move(vector(i) + to, 64, Slot.vector(i.rm()) + from, 0);
  }

  private static void moveDuplicated(Emitter emitter, Instruction i) {
    emitter.requireVector();
    int slot = scalarSource(emitter, i, 64);
    emitter.move(vector(i) + 1, 64, slot, 0);
    emitter.move(vector(i), 64, slot, 0);
  }

  /** MOVD, and MOVQ between general registers and MMX or XMM registers. */
  private static void moveGeneral(Emitter emitter, Instruction i, int width) {
    boolean mmx = isMmx(i);
    require(emitter, mmx);
    int register = mmx ? mmx(i) : vector(i);
    if (isLoad(i)) {
      int value = generalSource(emitter, i, width);
      emitter.move(register, width, value, 0);
      if (mmx) {
        appendMmxWritten(emitter, register);
      } else {
        clear(emitter, register + 1);
      }
      return;
    }
    if (i.isMemory()) {
      emitter.store(emitter.memory(i, width / 8, true), width, register, 0);
    } else {
      emitter.writeGeneral(i.rm(), width, register);
    }
    if (mmx) {
      appendEnterMmx(emitter);
    }
  }

  private static void require(Emitter emitter, boolean mmx) {
    if (mmx) {
      emitter.stateHelper(Availability::requireMmx);
    } else {
      emitter.requireVector();
    }
  }

  private static void moveQuadword(Emitter emitter, Instruction i) {
    if (i.definition().operands().stream()
        .anyMatch(operand -> operand.method() == Method.GENERAL_OR_MEMORY)) {
      moveGeneral(emitter, i, 64);
      return;
    }
    boolean mmx = isMmx(i);
    require(emitter, mmx);
    boolean load = isLoad(i);
    int reg = mmx ? mmx(i) : vector(i);
    int rm = mmx ? Slot.X87 + (i.rm() & 7) : Slot.vector(i.rm());
    if (i.isMemory() && !load) {
      emitter.store(emitter.memory(i, 8, true), 64, reg, 0);
      if (mmx) {
        appendEnterMmx(emitter);
      }
      return;
    }
    int destination = load ? reg : rm;
    if (i.isMemory()) {
      emitter.load(destination, emitter.memory(i, 8, false), 64);
    } else {
      emitter.move(destination, 64, load ? rm : reg, 0);
    }
    if (mmx) {
      appendMmxWritten(emitter, destination);
    } else {
      clear(emitter, destination + 1);
    }
  }

  private static void moveMmxToVector(Emitter emitter, Instruction i) {
    emitter.requireVector();
    emitter.stateHelper(Availability::requireMmx);
    emitter.move(vector(i), 64, Slot.X87 + (i.rm() & 7), 0);
    clear(emitter, vector(i) + 1);
    appendEnterMmx(emitter);
  }

  private static void moveVectorToMmx(Emitter emitter, Instruction i) {
    emitter.requireVector();
    emitter.stateHelper(Availability::requireMmx);
    emitter.move(mmx(i), 64, Slot.vector(i.rm()), 0);
    appendMmxWritten(emitter, mmx(i));
  }

  private static void emptyMmx(Emitter emitter, Instruction i) {
    emitter.stateHelper(Availability::requireMmx);
    emitter.stateHelper((state, operation) -> {
      state.x87Top = 0;
      state.x87Empty = 0xff;
    });
  }

  /**
   * MASKMOVQ, MASKMOVDQU: bytes whose mask has bit 7 set go to DS:rDI. With an empty mask nothing
   * is accessed (the SDM leaves faults to the implementation then).
   */
  private static void moveMasked(Emitter emitter, Instruction i) {
    boolean mmx = isMmx(i);
    require(emitter, mmx);
    int bytes = mmx ? 8 : 16;
    Memory memory =
        emitter.memory(Slot.RDI, Slot.ZERO, 0, 0, i.addressWidth(), i.segment(), bytes, true);
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    address.destination = emitter.temporary();
    Emitter.address(address, memory);
    MicroOperation store =
        emitter.processorHelper(mmx ? VectorLifters::storeMasked8 : VectorLifters::storeMasked16);
    store.destination = address.destination;
    store.first = mmx ? mmx(i) : vector(i);
    store.second = mmx ? Slot.X87 + (i.rm() & 7) : Slot.vector(i.rm());
    if (mmx) {
      appendEnterMmx(emitter);
    }
  }

  private static void storeMasked8(Processor processor, MicroOperation operation) {
    long[] r = processor.state().r;
    storeMasked(
        processor.memory(),
        r[operation.destination],
        r[operation.first],
        0,
        (int) Packed.moveMask(r[operation.second]));
  }

  private static void storeMasked16(Processor processor, MicroOperation operation) {
    long[] r = processor.state().r;
    long mask =
        Packed.moveMask(r[operation.second]) | Packed.moveMask(r[operation.second + 1]) << 8;
    storeMasked(
        processor.memory(),
        r[operation.destination],
        r[operation.first],
        r[operation.first + 1],
        (int) mask);
  }

  private static void storeMasked(LinearMemory memory, long linear, long low, long high, int mask) {
    if (mask == 0) {
      return;
    }
    int first = Integer.numberOfTrailingZeros(mask);
    int last = 31 - Integer.numberOfLeadingZeros(mask);
    memory.checkStore(linear + first, last - first + 1);
    for (int i = first; i <= last; i++) {
      if ((mask >>> i & 1) != 0) {
        memory.store8(linear + i, (i < 8 ? low : high) >>> 8 * (i & 7) & 0xff);
      }
    }
  }
}
