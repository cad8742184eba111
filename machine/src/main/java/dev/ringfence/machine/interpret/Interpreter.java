package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.HostMemory;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.operation.Multiplication;
import dev.ringfence.machine.operation.Shifts;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.translate.Translator;
import org.jspecify.annotations.Nullable;

/**
 * Executes micro-operations. Constraint: this loop is all the speed that cold code has. Blocks
 * follow each other inside one method below HotSpot's 8,000-byte limit, with the tables of the TLB
 * in locals; whatever is rare is a call.
 */
final class Interpreter implements Executor {
  private static final MicroOperation[] NOTHING = {};

  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final BlockSource source;
  private final @Nullable TranslatedBlocks translated;

  private @Nullable ProcessorException exception;

  /**
   * @param translated executes what has been translated, or null
   */
  Interpreter(Processor processor, BlockSource source, @Nullable TranslatedBlocks translated) {
    this.translated = translated;
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.source = source;
  }

  @Override
  public @Nullable ProcessorException exception() {
    return exception;
  }

  @Override
  public boolean lastTranslated() {
    return translated != null && translated.lastTranslated();
  }

  /** What has been translated. */
  Translator.Counts translationCounts() {
    return translated == null ? Translator.Counts.NONE : translated.counts();
  }

  @Override
  public void execute(long until) {
    final Processor p = processor;
    final ProcessorState s = state;
    final TranslatedMemory m = memory;
    final long[] r = s.r;
    final long[] readTable = m.readTable;
    final long[] writeTable = m.writeTable;
    long context = m.context;
    MicroOperation[] operations = NOTHING;
    int i = 0;
    exception = null;
    source.forget();
    try {
      blocks:
      while (!p.needsAttention() && p.time() < until) {
        i = 0;
        final Block block = translated == null ? source.find() : translated.run(until);
        if (block == null) {
          break;
        }
        // Translated code may have changed it just before the block, and goes on after that.
        context = m.context;
        operations = block.operations;
        int stop = block.instructions;
        int limit = operations.length;
        if (stop > until - p.time()) {
          stop = (int) (until - p.time());
          limit = block.firstOperation[stop];
        }
        r[Slot.BLOCK_START] = s.rip;
        while (i < limit) {
          final MicroOperation o = operations[i++];
          switch (o.code) {
            case MicroCode.MOVE ->
                r[o.destination] =
                    r[o.destination] & o.keep | (r[o.second] + o.immediate) << o.shift >>> o.shift;
            case MicroCode.MOVE64 -> r[o.destination] = r[o.second] + o.immediate;
            case MicroCode.SIGN_EXTEND ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | (r[o.second] + o.immediate)
                            << o.shift
                            >> o.shift
                            << o.targetShift
                            >>> o.targetShift;
            case MicroCode.EXTRACT_HIGH -> r[o.destination] = r[o.second] >>> 8 & 0xff;
            case MicroCode.INSERT_HIGH ->
                r[o.destination] = r[o.destination] & ~0xff00L | (r[o.second] & 0xff) << 8;
            case MicroCode.ADDRESS ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase]
                            << o.shift
                            >>> o.shift;
            case MicroCode.ADD -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long b = r[o.second] + o.immediate << shift;
              long sum = a + b;
              s.flagResult = sum >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfAddition(a, b, sum, shift);
              r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
            }
            case MicroCode.ADD_CARRY -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long b = r[o.second] + o.immediate << shift;
              long sum = a + b + ((long) Flags.carry(s.flagAuxiliary) << shift);
              s.flagResult = sum >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfAddition(a, b, sum, shift);
              r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
            }
            case MicroCode.SUBTRACT -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long b = r[o.second] + o.immediate << shift;
              long difference = a - b;
              s.flagResult = difference >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
              r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
            }
            case MicroCode.SUBTRACT_BORROW -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long b = r[o.second] + o.immediate << shift;
              long difference = a - b - ((long) Flags.carry(s.flagAuxiliary) << shift);
              s.flagResult = difference >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
              r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
            }
            case MicroCode.COMPARE -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long b = r[o.second] + o.immediate << shift;
              long difference = a - b;
              s.flagResult = difference >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
            }
            case MicroCode.AND -> {
              long result = (r[o.first] & r[o.second] + o.immediate) << o.shift;
              s.flagResult = result >> o.shift;
              s.flagAuxiliary = 0;
              r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
            }
            case MicroCode.OR -> {
              long result = (r[o.first] | r[o.second] + o.immediate) << o.shift;
              s.flagResult = result >> o.shift;
              s.flagAuxiliary = 0;
              r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
            }
            case MicroCode.XOR -> {
              long result = (r[o.first] ^ r[o.second] + o.immediate) << o.shift;
              s.flagResult = result >> o.shift;
              s.flagAuxiliary = 0;
              r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
            }
            case MicroCode.TEST -> {
              s.flagResult = (r[o.first] & r[o.second] + o.immediate) << o.shift >> o.shift;
              s.flagAuxiliary = 0;
            }
            case MicroCode.INCREMENT -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long sum = a + (1L << shift);
              long fresh = Flags.auxiliaryOfAddition(a, 1L << shift, sum, shift);
              s.flagResult = sum >> shift;
              s.flagAuxiliary = Flags.withCarry(fresh, Flags.carry(s.flagAuxiliary));
              r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
            }
            case MicroCode.DECREMENT -> {
              int shift = o.shift;
              long a = r[o.first] << shift;
              long difference = a - (1L << shift);
              long fresh = Flags.auxiliaryOfSubtraction(a, 1L << shift, difference, shift);
              s.flagResult = difference >> shift;
              s.flagAuxiliary = Flags.withCarry(fresh, Flags.carry(s.flagAuxiliary));
              r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
            }
            case MicroCode.NEGATE -> {
              int shift = o.shift;
              long b = r[o.first] << shift;
              s.flagResult = -b >> shift;
              s.flagAuxiliary = Flags.auxiliaryOfSubtraction(0, b, -b, shift);
              r[o.destination] = r[o.destination] & o.keep | -b >>> shift;
            }
            case MicroCode.NOT ->
                r[o.destination] = r[o.destination] & o.keep | ~r[o.first] << o.shift >>> o.shift;
            case MicroCode.SHIFT_LEFT ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | Shifts.left(s, r[o.first], r[o.second] + o.immediate, o.shift);
            case MicroCode.SHIFT_RIGHT ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | Shifts.right(s, r[o.first], r[o.second] + o.immediate, o.shift);
            case MicroCode.SHIFT_RIGHT_ARITHMETIC ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | Shifts.rightArithmetic(s, r[o.first], r[o.second] + o.immediate, o.shift);
            case MicroCode.ROTATE_LEFT ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | Shifts.rotateLeft(s, r[o.first], r[o.second] + o.immediate, o.shift);
            case MicroCode.ROTATE_RIGHT ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | Shifts.rotateRight(s, r[o.first], r[o.second] + o.immediate, o.shift);
            case MicroCode.MULTIPLY -> {
              int shift = o.shift;
              long a = r[o.first] << shift >> shift;
              long b = r[o.second] + o.immediate << shift >> shift;
              long product = a * b;
              s.flagResult = product << shift >> shift;
              s.flagAuxiliary = Multiplication.truncationAuxiliary(a, b, shift);
              r[o.destination] = r[o.destination] & o.keep | product << shift >>> shift;
            }
            case MicroCode.SET_IF ->
                r[o.destination] =
                    r[o.destination] & o.keep
                        | (Flags.test(o.condition, s.flagResult, s.flagAuxiliary) ? 1 : 0);
            case MicroCode.MOVE_IF -> {
              long value =
                  Flags.test(o.condition, s.flagResult, s.flagAuxiliary)
                      ? r[o.second]
                      : r[o.destination];
              r[o.destination] = r[o.destination] & o.keep | value << o.shift >>> o.shift;
            }
            case MicroCode.BIT_TEST ->
                s.flagAuxiliary =
                    Flags.withCarry(
                        s.flagAuxiliary,
                        r[o.first] >>> ((r[o.second] + o.immediate) & 63 - o.shift) & 1);
            case MicroCode.LOAD8 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              long value;
              if (readTable[entry] == (linear & PAGE | context)) {
                value = HostMemory.getByte(linear + readTable[entry + 1]) & 0xffL;
              } else {
                value = slowLoad(o, linear, 1);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[o.destination] = r[o.destination] & o.keep | value;
            }
            case MicroCode.LOAD16 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              long value;
              if (readTable[entry] == (linear + 1 & PAGE | context)) {
                value = HostMemory.getShort(linear + readTable[entry + 1]) & 0xffffL;
              } else {
                value = slowLoad(o, linear, 2);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[o.destination] = r[o.destination] & o.keep | value;
            }
            case MicroCode.LOAD32 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              long value;
              if (readTable[entry] == (linear + 3 & PAGE | context)) {
                value = HostMemory.getInt(linear + readTable[entry + 1]) & 0xffffffffL;
              } else {
                value = slowLoad(o, linear, 4);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[o.destination] = value;
            }
            case MicroCode.LOAD64 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              long value;
              if (readTable[entry] == (linear + 7 & PAGE | context)) {
                value = HostMemory.getLong(linear + readTable[entry + 1]);
              } else {
                value = slowLoad(o, linear, 8);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[o.destination] = value;
            }
            case MicroCode.STORE8 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear & PAGE | context)) {
                HostMemory.putByte(
                    linear + writeTable[entry + 1], (byte) (r[o.second] + o.immediate));
              } else {
                slowStore(o, linear, 1);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
            }
            case MicroCode.STORE16 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear + 1 & PAGE | context)) {
                HostMemory.putShort(
                    linear + writeTable[entry + 1], (short) (r[o.second] + o.immediate));
              } else {
                slowStore(o, linear, 2);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
            }
            case MicroCode.STORE32 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear + 3 & PAGE | context)) {
                HostMemory.putInt(
                    linear + writeTable[entry + 1], (int) (r[o.second] + o.immediate));
              } else {
                slowStore(o, linear, 4);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
            }
            case MicroCode.STORE64 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear + 7 & PAGE | context)) {
                HostMemory.putLong(linear + writeTable[entry + 1], r[o.second] + o.immediate);
              } else {
                slowStore(o, linear, 8);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
            }
            case MicroCode.PUSH64 -> {
              long linear = r[Slot.RSP] - 8;
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear + 7 & PAGE | context)) {
                HostMemory.putLong(linear + writeTable[entry + 1], r[o.second] + o.immediate);
              } else {
                slowStore(o, linear, 8);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[Slot.RSP] = linear;
            }
            case MicroCode.POP64 -> {
              long linear = r[Slot.RSP];
              int entry = TranslatedMemory.entry(linear);
              long value;
              if (readTable[entry] == (linear + 7 & PAGE | context)) {
                value = HostMemory.getLong(linear + readTable[entry + 1]);
              } else {
                value = slowLoad(o, linear, 8);
                if (m.leaveBlock) {
                  limit = o.nextInstruction;
                  stop = o.ordinal + 1;
                }
              }
              r[Slot.RSP] = linear + 8;
              r[o.destination] = value;
            }
            case MicroCode.STATE_HELPER -> o.stateHelper.execute(s, o);
            case MicroCode.JUMP -> {
              s.rip = r[Slot.BLOCK_START] + o.immediate << o.shift >>> o.shift;
              p.complete(block.instructions);
              continue blocks;
            }
            case MicroCode.CALL64 -> {
              long linear = r[Slot.RSP] - 8;
              long next = r[Slot.BLOCK_START] + o.displacement;
              int entry = TranslatedMemory.entry(linear);
              if (writeTable[entry] == (linear + 7 & PAGE | context)) {
                HostMemory.putLong(linear + writeTable[entry + 1], next);
              } else {
                m.store64(timed(o, linear), next, true);
                m.leaveBlock = false;
              }
              r[Slot.RSP] = linear;
              s.rip = r[Slot.BLOCK_START] + o.immediate;
              p.complete(block.instructions);
              continue blocks;
            }
            case MicroCode.RETURN64 -> {
              long linear = r[Slot.RSP];
              int entry = TranslatedMemory.entry(linear);
              long target;
              if (readTable[entry] == (linear + 7 & PAGE | context)) {
                target = HostMemory.getLong(linear + readTable[entry + 1]);
              } else {
                target = m.load64(timed(o, linear), true);
                m.leaveBlock = false;
              }
              checkTarget(target);
              r[Slot.RSP] = linear + 8 + o.immediate;
              s.rip = target;
              p.complete(block.instructions);
              continue blocks;
            }
            case MicroCode.JUMP_IF -> {
              jump(o, Flags.overflow(s.flagAuxiliary) != 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 1 -> {
              jump(o, Flags.overflow(s.flagAuxiliary) == 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 2 -> {
              jump(o, s.flagAuxiliary < 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 3 -> {
              jump(o, s.flagAuxiliary >= 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 4 -> {
              jump(o, s.flagResult == 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 5 -> {
              jump(o, s.flagResult != 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 6 -> {
              jump(o, s.flagResult == 0 || s.flagAuxiliary < 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 7 -> {
              jump(o, s.flagResult != 0 && s.flagAuxiliary >= 0, block);
              continue blocks;
            }
            case MicroCode.JUMP_IF + 8,
                MicroCode.JUMP_IF + 9,
                MicroCode.JUMP_IF + 10,
                MicroCode.JUMP_IF + 11,
                MicroCode.JUMP_IF + 12,
                MicroCode.JUMP_IF + 13,
                MicroCode.JUMP_IF + 14,
                MicroCode.JUMP_IF + 15 -> {
              jump(o, Flags.test(o.code - MicroCode.JUMP_IF, s.flagResult, s.flagAuxiliary), block);
              continue blocks;
            }
            default -> {
              if (rare(o)) {
                p.complete(block.instructions);
                m.leaveBlock = false;
                continue blocks;
              }
              if (m.leaveBlock) {
                limit = o.nextInstruction;
                stop = o.ordinal + 1;
              }
            }
          }
        }
        // The block was cut short, by time or by an access that it must not outlive.
        s.rip = cut(r[Slot.BLOCK_START] + block.offsets[stop], operations[0]);
        p.complete(stop);
        m.leaveBlock = false;
      }
    } catch (ProcessorException e) {
      if (i > 0) {
        MicroOperation o = operations[i - 1];
        s.rip = cut(r[Slot.BLOCK_START] + o.offset, o);
        p.complete(o.ordinal);
      }
      m.leaveBlock = false;
      exception = e;
    }
  }

  /** RIP is as wide as the code; in 16-bit code that may run past 64 KiB it keeps 32 bits. */
  private static long cut(long rip, MicroOperation o) {
    return o.instruction.codeWidth() == 64 ? rip : rip & 0xffffffffL;
  }

  private void jump(MicroOperation o, boolean taken, Block block) {
    long target = state.r[Slot.BLOCK_START] + (taken ? o.immediate : o.displacement);
    // A 16-bit operand cuts the target, but not the address of the next instruction.
    int shift = taken ? o.shift : o.shift & 32;
    state.rip = target << shift >>> shift;
    processor.complete(block.instructions);
  }

  private long slowLoad(MicroOperation o, long linear, int bytes) {
    synchronizeTime(o);
    return switch (bytes) {
      case 1 -> memory.load8(linear, o.stack);
      case 2 -> memory.load16(linear, o.stack);
      case 4 -> memory.load32(linear, o.stack);
      default -> memory.load64(linear, o.stack);
    };
  }

  private void slowStore(MicroOperation o, long linear, int bytes) {
    synchronizeTime(o);
    long value = state.r[o.second] + o.immediate;
    switch (bytes) {
      case 1 -> memory.store8(linear, value, o.stack);
      case 2 -> memory.store16(linear, value, o.stack);
      case 4 -> memory.store32(linear, value, o.stack);
      default -> memory.store64(linear, value, o.stack);
    }
  }

  /**
   * Devices and RDTSC see the time of the instruction that runs, which is counted in instructions;
   * observers see its address.
   */
  private void synchronizeTime(MicroOperation o) {
    processor.clock().setNow(processor.time() + o.ordinal);
    state.rip = cut(state.r[Slot.BLOCK_START] + o.offset, o);
  }

  private static long linear(long[] r, MicroOperation o) {
    return r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
  }

  /** Codes that are not worth space in the hot switch. Returns whether the block has ended. */
  private boolean rare(MicroOperation o) {
    ProcessorState s = state;
    long[] r = s.r;
    switch (o.code) {
      case MicroCode.LOAD_SIGNED8 ->
          extend(o, (byte) memory.load8(timed(o, linear(r, o)), o.stack));
      case MicroCode.LOAD_SIGNED16 ->
          extend(o, (short) memory.load16(timed(o, linear(r, o)), o.stack));
      case MicroCode.LOAD_SIGNED32 ->
          extend(o, (int) memory.load32(timed(o, linear(r, o)), o.stack));
      case MicroCode.LOAD_FOR_UPDATE -> {
        long linear = timed(o, linear(r, o));
        int width = 64 - o.shift;
        memory.checkStore(linear, width >> 3, o.stack);
        r[o.destination] =
            switch (width) {
              case 8 -> memory.load8(linear, o.stack);
              case 16 -> memory.load16(linear, o.stack);
              case 32 -> memory.load32(linear, o.stack);
              default -> memory.load64(linear, o.stack);
            };
      }
      case MicroCode.LOAD128 -> {
        long linear = timed(o, linear(r, o));
        checkAligned(o, linear);
        memory.checkLoad(linear, 16, o.stack);
        long low = memory.load64(linear, o.stack);
        r[o.destination + 1] = memory.load64(linear + 8, o.stack);
        r[o.destination] = low;
      }
      case MicroCode.STORE128 -> {
        long linear = timed(o, linear(r, o));
        checkAligned(o, linear);
        memory.checkStore(linear, 16, o.stack);
        memory.store64(linear, r[o.second], o.stack);
        memory.store64(linear + 8, r[o.second + 1], o.stack);
      }
      case MicroCode.PROCESSOR_HELPER -> {
        synchronizeTime(o);
        s.rip = cut(r[Slot.BLOCK_START] + o.nextOffset(), o);
        o.processorHelper.execute(processor, o);
      }
      case MicroCode.PROCESSOR_HELPER_END -> {
        synchronizeTime(o);
        s.rip = cut(r[Slot.BLOCK_START] + o.nextOffset(), o);
        o.processorHelper.execute(processor, o);
        processor.afterSystemInstruction();
        return true;
      }
      case MicroCode.JUMP_INDIRECT64 -> {
        long target = r[o.second] + o.immediate;
        checkTarget(target);
        s.rip = target;
        return true;
      }
      case MicroCode.CALL_INDIRECT64 -> {
        long target = r[o.second];
        checkTarget(target);
        push(o, r[Slot.BLOCK_START] + o.displacement);
        s.rip = target;
        return true;
      }
      default -> throw new IllegalStateException("unknown micro-operation " + o);
    }
    return false;
  }

  private long timed(MicroOperation o, long linear) {
    synchronizeTime(o);
    return linear;
  }

  private void extend(MicroOperation o, long value) {
    state.r[o.destination] =
        state.r[o.destination] & o.keep | value << o.targetShift >>> o.targetShift;
  }

  private void push(MicroOperation o, long value) {
    long linear = state.r[Slot.RSP] - 8;
    memory.store64(timed(o, linear), value, true);
    state.r[Slot.RSP] = linear;
  }

  private static void checkTarget(long target) {
    if (!ProcessorState.canonical(target)) {
      throw ProcessorException.generalProtection();
    }
  }

  private static void checkAligned(MicroOperation o, long linear) {
    if (o.aligned && (linear & 15) != 0) {
      throw ProcessorException.generalProtection();
    }
  }
}
