package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Decoder;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.InstructionTable;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.operation.Emitter;
import dev.ringfence.machine.operation.Lifters;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.probe.CodeProbe;
import java.util.Arrays;
import java.util.Map;

/** Decodes and lifts one block. */
final class BlockBuilder {
  /**
   * Longest block in instructions. Straight-line code rarely runs longer; a bound keeps blocks'
   * cost bounded.
   */
  private static final int MOST_INSTRUCTIONS = 64;

  /** Finds the RAM page that follows in linear addresses, by a fetch that may fault. */
  interface NextPage {
    /** Returns the page's number, or -1 if it is not RAM. */
    int find();
  }

  private final Decoder decoder = new Decoder(InstructionTable.standard());
  private final PhysicalMemory physical;
  private final CpuModel model;
  private final byte[] code = new byte[4096 + Decoder.MAXIMUM_LENGTH];

  BlockBuilder(PhysicalMemory physical, CpuModel model) {
    this.physical = physical;
    this.model = model;
  }

  /**
   * Builds the block that starts at {@code offset} in a page of RAM.
   *
   * @param probes by offset in the page; an instruction that has one starts a block
   * @param nextPage asked only if the first instruction runs over the end of the page; a later one
   *     that does starts a block of its own
   */
  Block build(
      int ramPage,
      int offset,
      int codeWidth,
      int stackWidth,
      Map<Integer, CodeProbe> probes,
      NextPage nextPage) {
    return build(ramPage, offset, codeWidth, stackWidth, MOST_INSTRUCTIONS, probes, nextPage);
  }

  /**
   * Builds a block of at most so many instructions.
   *
   * @param most at most {@value #MOST_INSTRUCTIONS}
   */
  Block build(
      int ramPage,
      int offset,
      int codeWidth,
      int stackWidth,
      int most,
      Map<Integer, CodeProbe> probes,
      NextPage nextPage) {
    long address = physical.addressOfPage(ramPage);
    physical.read(address, code, 0, 4096);
    Emitter emitter = new Emitter(codeWidth, stackWidth);
    int[] offsets = new int[MOST_INSTRUCTIONS + 1];
    int at = offset;
    int secondPage = -1;
    int limit = 4096;
    int count = 0;
    while (count < most && at < 4096) {
      if (count > 0 && !probes.isEmpty() && probes.containsKey(at)) {
        break;
      }
      Instruction instruction;
      try {
        instruction = decoder.decode(code, at, limit, codeWidth);
      } catch (Decoder.DecodeException e) {
        if (e.failure() == Decoder.Failure.TRUNCATED && count > 0) {
          break;
        }
        if (e.failure() == Decoder.Failure.TRUNCATED && secondPage < 0) {
          secondPage = nextPage.find();
          if (secondPage < 0) {
            Arrays.fill(code, 4096, code.length, (byte) 0xff);
          } else {
            physical.read(physical.addressOfPage(secondPage), code, 4096, Decoder.MAXIMUM_LENGTH);
          }
          limit = code.length;
          continue;
        }
        emitter.begin(invalid(at, limit, codeWidth), at - offset);
        if (e.failure() == Decoder.Failure.INVALID) {
          emitter.raise(ProcessorException.INVALID_OPCODE);
        } else {
          emitter.processorHelperEnd((processor, operation) -> {
            throw ProcessorException.generalProtection();
          });
        }
        offsets[count++] = at - offset;
        // Bytes of the second page have decided this too.
        at = limit > 4096 ? limit : at + 1;
        break;
      }
      emitter.begin(instruction, at - offset);
      CodeProbe probe = probes.get(at);
      if (probe != null) {
        emitter.processorHelper((processor, operation) -> tell(probe, processor));
      }
      offsets[count++] = at - offset;
      String feature = instruction.definition().feature();
      if (!feature.isEmpty() && !model.has(feature)) {
        emitter.raise(ProcessorException.INVALID_OPCODE);
      } else {
        Lifters.of(instruction.mnemonic()).lift(emitter, instruction);
      }
      at += instruction.length();
      if (emitter.ended() || instruction.definition().has("end")) {
        break;
      }
    }
    offsets[count] = at - offset;
    MicroOperation[] operations = emitter.finish();
    return new Block(
        offset,
        operations,
        Arrays.copyOf(offsets, count + 1),
        firstOperations(operations, count),
        at > 4096 ? secondPage : -1,
        probes.containsKey(offset));
  }

  /** The probe finds RIP at the instruction, which is the first of its block. */
  private static void tell(CodeProbe probe, Processor processor) {
    ProcessorState state = processor.state();
    long next = state.rip;
    state.rip = state.r[Slot.BLOCK_START];
    probe.reached(processor);
    state.rip = next;
  }

  /** A stand-in that carries the bytes and the length of one byte, for messages. */
  private Instruction invalid(int at, int limit, int codeWidth) {
    return Instruction.invalid(Arrays.copyOfRange(code, at, Math.min(limit, at + 15)), codeWidth);
  }

  private static int[] firstOperations(MicroOperation[] operations, int count) {
    int[] first = new int[count + 1];
    int operation = 0;
    for (int instruction = 0; instruction < count; instruction++) {
      while (operation < operations.length && operations[operation].ordinal < instruction) {
        operation++;
      }
      first[instruction] = operation;
    }
    first[count] = operations.length;
    return first;
  }
}
