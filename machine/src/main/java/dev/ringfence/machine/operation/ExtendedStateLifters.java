package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.paging.LinearMemory;
import java.util.Map;

/**
 * FXSAVE, XSAVE and their counterparts (SDM volume 1, sections 10.5 and 13.4 to 13.8), and MXCSR.
 *
 * <p>The processor reports in CPUID that x87 FCS and FDS are deprecated, so they are saved as zero.
 * XSAVEC and XSAVES do not exist, hence no compacted images.
 */
final class ExtendedStateLifters {
  /** Bits of MXCSR that exist. */
  static final int MXCSR_MASK = 0xffff;

  static final int INITIAL_MXCSR = 0x1f80;

  /** State components of XSAVE, as in XCR0. */
  private static final long X87_STATE = 1;

  private static final long SSE_STATE = 2;

  private static final int LEGACY_BYTES = 512;
  private static final int HEADER_BYTES = 64;

  private ExtendedStateLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("FXSAVE", (emitter, i) -> fxsave(emitter, i));
    lifters.put("FXRSTOR", (emitter, i) -> fxrstor(emitter, i));
    lifters.put("XSAVE", (emitter, i) -> xsave(emitter, i, false));
    lifters.put("XSAVEOPT", (emitter, i) -> xsave(emitter, i, true));
    lifters.put("XRSTOR", ExtendedStateLifters::xrstor);
    lifters.put("LDMXCSR", ExtendedStateLifters::loadMxcsr);
    lifters.put("STMXCSR", ExtendedStateLifters::storeMxcsr);
  }

  private static void loadMxcsr(Emitter emitter, Instruction i) {
    emitter.requireVector();
    int slot = emitter.load(emitter.memory(i, 4, false), 32);
    emitter.stateHelper((state, o) -> setMxcsr(state, state.r[o.second])).second = slot;
  }

  private static void setMxcsr(ProcessorState state, long value) {
    checkMxcsr(value);
    state.mxcsr = (int) value;
  }

  private static void checkMxcsr(long value) {
    if ((value & 0xffff_ffffL & ~MXCSR_MASK) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  private static void storeMxcsr(Emitter emitter, Instruction i) {
    emitter.requireVector();
    int slot = emitter.temporary();
    emitter.stateHelper((state, o) -> state.r[o.destination] = state.mxcsr).destination = slot;
    emitter.store(emitter.memory(i, 4, true), 32, slot, 0);
  }

  /** Calls the helper with the linear address of the memory operand in r[first]. */
  private static void onMemory(
      Emitter emitter, Instruction i, int bytes, boolean write, ProcessorHelper helper) {
    Memory memory = emitter.memory(i, bytes, write);
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    address.destination = emitter.temporary();
    Emitter.address(address, memory);
    emitter.requireCanonical(memory, address.destination, bytes);
    emitter.processorHelper(helper).first = address.destination;
  }

  private static void checkAligned(long linear, int alignment) {
    if ((linear & alignment - 1) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  private static void fxsave(Emitter emitter, Instruction i) {
    emitter.stateHelper(Availability::requireStateSave);
    boolean wide = i.rexW();
    int registers = vectorRegisters(emitter);
    onMemory(
        emitter,
        i,
        LEGACY_BYTES,
        true,
        (processor, o) -> {
          ProcessorState state = processor.state();
          long linear = state.r[o.first];
          checkAligned(linear, 16);
          LinearMemory memory = processor.memory();
          memory.checkStore(linear, LEGACY_BYTES);
          saveX87(state, memory, linear, wide);
          saveMxcsr(state, memory, linear);
          saveVectors(state, memory, linear, registers);
        });
  }

  /** XMM8 to XMM15 are neither saved nor restored outside 64-bit mode. */
  private static int vectorRegisters(Emitter emitter) {
    return emitter.codeWidth() == 64 ? 16 : 8;
  }

  private static void saveX87(
      ProcessorState state, LinearMemory memory, long linear, boolean wide) {
    memory.store64(
        linear,
        state.x87Control
            | (long) X87Status.word(state) << 16
            | (~state.x87Empty & 0xffL) << 32
            | (state.x87Opcode & 0x7ffL) << 48);
    long mask = wide ? -1 : 0xffff_ffffL;
    memory.store64(linear + 8, state.x87InstructionPointer & mask);
    memory.store64(linear + 16, state.x87DataPointer & mask);
    for (int n = 0; n < 8; n++) {
      int register = state.x87Top + n & 7;
      memory.store64(linear + 32 + 16L * n, state.r[Slot.X87 + register]);
      memory.store64(linear + 40 + 16L * n, state.x87Exponents[register] & 0xffffL);
    }
  }

  private static void saveMxcsr(ProcessorState state, LinearMemory memory, long linear) {
    memory.store64(linear + 24, state.mxcsr & 0xffff_ffffL | (long) MXCSR_MASK << 32);
  }

  private static void saveVectors(
      ProcessorState state, LinearMemory memory, long linear, int registers) {
    for (int n = 0; n < 2 * registers; n++) {
      memory.store64(linear + 160 + 8L * n, state.r[Slot.VECTOR + n]);
    }
  }

  private static void fxrstor(Emitter emitter, Instruction i) {
    emitter.stateHelper(Availability::requireStateSave);
    boolean wide = i.rexW();
    int registers = vectorRegisters(emitter);
    onMemory(
        emitter,
        i,
        LEGACY_BYTES,
        false,
        (processor, o) -> {
          ProcessorState state = processor.state();
          long linear = state.r[o.first];
          checkAligned(linear, 16);
          long[] image = read(processor, linear, LEGACY_BYTES);
          checkMxcsr(image[3]);
          state.mxcsr = (int) image[3];
          restoreX87(state, image, wide);
          restoreVectors(state, image, registers);
        });
  }

  private static long[] read(Processor processor, long linear, int bytes) {
    long[] image = new long[bytes / 8];
    for (int n = 0; n < image.length; n++) {
      image[n] = processor.memory().load64(linear + 8L * n);
    }
    return image;
  }

  private static void restoreX87(ProcessorState state, long[] image, boolean wide) {
    long first = image[0];
    X87Status.setControl(state, (int) first & 0xffff);
    X87Status.setWord(state, (int) (first >>> 16) & 0xffff);
    state.x87Empty = (int) ~(first >>> 32) & 0xff;
    state.x87Opcode = (int) (first >>> 48) & 0x7ff;
    long mask = wide ? -1 : 0xffff_ffffL;
    state.x87InstructionPointer = image[1] & mask;
    state.x87DataPointer = image[2] & mask;
    for (int n = 0; n < 8; n++) {
      int register = state.x87Top + n & 7;
      state.r[Slot.X87 + register] = image[4 + 2 * n];
      state.x87Exponents[register] = (short) image[5 + 2 * n];
    }
  }

  private static void restoreVectors(ProcessorState state, long[] image, int registers) {
    System.arraycopy(image, 20, state.r, Slot.VECTOR, 2 * registers);
  }

  /** RFBM: the components that EDX:EAX requests and XCR0 enables. */
  private static long requested(ProcessorState state) {
    long instruction = state.r[Slot.RAX] & 0xffff_ffffL | state.r[Slot.RDX] << 32;
    return instruction & state.xcr0;
  }

  /** XINUSE: the components that are not in their initial configuration. */
  private static long inUse(ProcessorState state) {
    return (x87Initial(state) ? 0 : X87_STATE) | (vectorsInitial(state) ? 0 : SSE_STATE);
  }

  private static boolean x87Initial(ProcessorState state) {
    boolean initial =
        state.x87Control == X87Status.INITIAL_CONTROL
            && X87Status.word(state) == 0
            && state.x87Empty == 0xff
            && state.x87Opcode == 0
            && state.x87InstructionPointer == 0
            && state.x87DataPointer == 0;
    for (int n = 0; initial && n < 8; n++) {
      initial = state.r[Slot.X87 + n] == 0 && state.x87Exponents[n] == 0;
    }
    return initial;
  }

  private static boolean vectorsInitial(ProcessorState state) {
    long any = 0;
    for (int n = 0; n < 32; n++) {
      any |= state.r[Slot.VECTOR + n];
    }
    return any == 0;
  }

  private static void xsave(Emitter emitter, Instruction i, boolean optimized) {
    emitter.stateHelper(Availability::requireExtendedSave);
    boolean wide = i.rexW();
    int registers = vectorRegisters(emitter);
    onMemory(
        emitter,
        i,
        LEGACY_BYTES + HEADER_BYTES,
        true,
        (processor, o) -> {
          ProcessorState state = processor.state();
          long linear = state.r[o.first];
          checkAligned(linear, 64);
          LinearMemory memory = processor.memory();
          memory.checkStore(linear, LEGACY_BYTES + HEADER_BYTES);
          long requested = requested(state);
          long inUse = inUse(state);
          long old = memory.load64(linear + LEGACY_BYTES);
          long saved = optimized ? requested & inUse : requested;
          if ((saved & X87_STATE) != 0) {
            saveX87(state, memory, linear, wide);
          }
          if ((requested & SSE_STATE) != 0) {
            saveMxcsr(state, memory, linear);
          }
          if ((saved & SSE_STATE) != 0) {
            saveVectors(state, memory, linear, registers);
          }
          memory.store64(linear + LEGACY_BYTES, old & ~requested | requested & inUse);
        });
  }

  private static void xrstor(Emitter emitter, Instruction i) {
    emitter.stateHelper(Availability::requireExtendedSave);
    boolean wide = i.rexW();
    int registers = vectorRegisters(emitter);
    onMemory(
        emitter,
        i,
        LEGACY_BYTES + HEADER_BYTES,
        false,
        (processor, o) -> {
          ProcessorState state = processor.state();
          long linear = state.r[o.first];
          checkAligned(linear, 64);
          long[] image = read(processor, linear, LEGACY_BYTES + HEADER_BYTES);
          long present = image[LEGACY_BYTES / 8];
          long reserved = image[LEGACY_BYTES / 8 + 1] | image[LEGACY_BYTES / 8 + 2];
          if ((present & ~state.xcr0) != 0 || reserved != 0) {
            throw ProcessorException.generalProtection();
          }
          long requested = requested(state);
          if ((requested & SSE_STATE) != 0) {
            checkMxcsr(image[3]);
            state.mxcsr = (int) image[3];
          }
          restoreOrInitialize(state, image, requested, present, wide, registers);
        });
  }

  private static void restoreOrInitialize(
      ProcessorState state,
      long[] image,
      long requested,
      long present,
      boolean wide,
      int registers) {
    if ((requested & X87_STATE) != 0) {
      if ((present & X87_STATE) != 0) {
        restoreX87(state, image, wide);
      } else {
        initializeX87(state);
      }
    }
    if ((requested & SSE_STATE) != 0) {
      if ((present & SSE_STATE) != 0) {
        restoreVectors(state, image, registers);
      } else {
        java.util.Arrays.fill(state.r, Slot.VECTOR, Slot.VECTOR + 2 * registers, 0);
      }
    }
  }

  /** The initial configuration of the x87 component: FNINIT, and all registers zero. */
  private static void initializeX87(ProcessorState state) {
    X87.initialize(state);
    for (int n = 0; n < 8; n++) {
      state.r[Slot.X87 + n] = 0;
      state.x87Exponents[n] = 0;
    }
  }
}
