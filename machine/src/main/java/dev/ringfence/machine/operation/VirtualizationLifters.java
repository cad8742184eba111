package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.virtualization.ExitReason;
import dev.ringfence.machine.virtualization.VmExit;
import dev.ringfence.machine.virtualization.VmxInstructions;
import java.util.Map;

/** Intel's virtual-machine extensions (SDM volume 3, chapter 31). */
final class VirtualizationLifters {
  /** Bit 10 of VM-exit instruction information: the operand is a register (SDM table 28-14). */
  private static final int REGISTER_OPERAND = 1 << 10;

  private static final int NO_INDEX = 1 << 22;
  private static final int NO_BASE = 1 << 27;

  private VirtualizationLifters() {}

  /** What an instruction does in VMX root operation. */
  @FunctionalInterface
  private interface Action {
    void execute(VmxInstructions instructions, long[] r, MicroOperation o);
  }

  static void register(Map<String, Lifter> lifters) {
    lifters.put("VMCALL", (e, i) -> plain(e, i, ExitReason.VMCALL, (v, r, o) -> v.call()));
    lifters.put("VMXOFF", (e, i) -> plain(e, i, ExitReason.VMXOFF, (v, r, o) -> v.off()));
    lifters.put("VMLAUNCH", (e, i) -> plain(e, i, ExitReason.VMLAUNCH, (v, r, o) -> v.enter(true)));
    lifters.put(
        "VMRESUME", (e, i) -> plain(e, i, ExitReason.VMRESUME, (v, r, o) -> v.enter(false)));
    lifters.put(
        "VMPTRLD", (e, i) -> pointer(e, i, ExitReason.VMPTRLD, (v, r, o) -> v.load(r[o.first])));
    lifters.put(
        "VMCLEAR", (e, i) -> pointer(e, i, ExitReason.VMCLEAR, (v, r, o) -> v.clear(r[o.first])));
    lifters.put("VMXON", VirtualizationLifters::on);
    lifters.put("VMPTRST", VirtualizationLifters::store);
    lifters.put("VMREAD", VirtualizationLifters::read);
    lifters.put("VMWRITE", VirtualizationLifters::write);
    lifters.put(
        "INVEPT",
        (e, i) ->
            descriptor(
                e,
                i,
                ExitReason.INVEPT,
                (v, r, o) -> v.invalidateExtended(type(r, o), r[o.first], r[o.second])));
    lifters.put(
        "INVVPID",
        (e, i) ->
            descriptor(
                e,
                i,
                ExitReason.INVVPID,
                (v, r, o) -> v.invalidateByVpid(type(r, o), r[o.first], r[o.second])));
  }

  private static long type(long[] r, MicroOperation o) {
    return r[o.destination] << o.shift >>> o.shift;
  }

  /** The checks of mode and privilege, with the exit of the instruction in non-root operation. */
  private static void require(Emitter emitter, Instruction i, int reason) {
    VmExit exit = exit(emitter, i, reason);
    emitter.processorHelper((processor, o) -> VmxInstructions.require(processor, exit));
  }

  private static VmExit exit(Emitter emitter, Instruction i, int reason) {
    boolean operand = i.definition().usesModRm() && !i.definition().operands().isEmpty();
    if (!operand) {
      return VmExit.of(reason, i.length());
    }
    long displacement = i.isMemory() ? i.displacement() : 0;
    if (i.isMemory() && i.ripRelative()) {
      displacement += emitter.nextOffset();
    }
    return VmExit.ofOperand(reason, displacement, i.length(), information(i), 0);
  }

  /** VM-exit instruction information of an instruction with a ModRM operand (SDM table 28-14). */
  static int information(Instruction i) {
    int information = addressSize(i.addressWidth()) | (i.reg() & 15) << 28;
    if (!i.isMemory()) {
      return information | REGISTER_OPERAND | (i.rm() & 15) << 3;
    }
    information |= i.scale() | i.segment() << 15;
    information |= i.index() == Slot.ZERO ? NO_INDEX : (i.index() & 15) << 18;
    return information | (i.base() == Slot.ZERO ? NO_BASE : (i.base() & 15) << 23);
  }

  private static void act(Processor processor, MicroOperation o, Action action) {
    action.execute(new VmxInstructions(processor), processor.state().r, o);
  }

  private static MicroOperation end(Emitter emitter, Action action) {
    return emitter.processorHelperEnd((processor, o) -> act(processor, o, action));
  }

  private static void plain(Emitter emitter, Instruction i, int reason, Action action) {
    require(emitter, i, reason);
    end(emitter, action);
  }

  private static void pointer(Emitter emitter, Instruction i, int reason, Action action) {
    require(emitter, i, reason);
    int address = emitter.load(emitter.memory(i, 8, false), 64);
    end(emitter, action).first = address;
  }

  private static void on(Emitter emitter, Instruction i) {
    VmExit exit = exit(emitter, i, ExitReason.VMXON);
    emitter.processorHelper((processor, o) -> VmxInstructions.requireForOn(processor, exit));
    int address = emitter.load(emitter.memory(i, 8, false), 64);
    end(emitter, (v, r, o) -> v.on(r[o.first])).first = address;
  }

  private static void store(Emitter emitter, Instruction i) {
    require(emitter, i, ExitReason.VMPTRST);
    MicroOperation read =
        emitter.processorHelper((processor, o) ->
            act(processor, o, (v, r, operation) -> r[operation.destination] = v.stored()));
    read.destination = emitter.temporary();
    emitter.store(emitter.memory(i, 8, true), 64, read.destination, 0);
  }

  private static int width(Emitter emitter) {
    return emitter.codeWidth() == 64 ? 64 : 32;
  }

  private static void read(Emitter emitter, Instruction i) {
    require(emitter, i, ExitReason.VMREAD);
    int width = width(emitter);
    if (i.isMemory()) {
      Memory memory = emitter.memory(i, width / 8, true);
      MicroOperation read = emitter.processorHelperEnd(VirtualizationLifters::readToMemory);
      read.first = i.reg();
      read.shift = 64 - width;
      Emitter.address(read, memory);
      return;
    }
    MicroOperation read = emitter.processorHelper(VirtualizationLifters::readToRegister);
    read.first = i.reg();
    read.destination = i.rm();
    read.shift = 64 - width;
  }

  /** A failed VMREAD leaves its destination. */
  private static void readToRegister(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    Long value = new VmxInstructions(processor).read(r[o.first] << o.shift >>> o.shift);
    if (value != null) {
      r[o.destination] = value << o.shift >>> o.shift;
    }
  }

  private static void readToMemory(Processor processor, MicroOperation o) {
    int bytes = 64 - o.shift >> 3;
    long linear = SystemLifters.checkedLinear(processor.state(), o, bytes);
    processor.memory().checkStore(linear, bytes);
    long[] r = processor.state().r;
    Long value = new VmxInstructions(processor).read(r[o.first] << o.shift >>> o.shift);
    if (value != null && bytes == 8) {
      processor.memory().store64(linear, value);
    } else if (value != null) {
      processor.memory().store32(linear, value & 0xffffffffL);
    }
  }

  private static void write(Emitter emitter, Instruction i) {
    require(emitter, i, ExitReason.VMWRITE);
    int width = width(emitter);
    int value = i.isMemory() ? emitter.load(emitter.memory(i, width / 8, false), width) : i.rm();
    MicroOperation write =
        emitter.processorHelper((processor, o) ->
            act(
                processor,
                o,
                (v, r, operation) -> {
                  int shift = operation.shift;
                  v.write(
                      r[operation.first] << shift >>> shift,
                      r[operation.second] << shift >>> shift);
                }));
    write.first = i.reg();
    write.second = value;
    write.shift = 64 - width;
  }

  private static void descriptor(Emitter emitter, Instruction i, int reason, Action action) {
    require(emitter, i, reason);
    Memory memory = emitter.memory(i, 16, false);
    int low = emitter.load(memory, 64);
    int high = emitter.load(memory.plus(8), 64);
    MicroOperation invalidate = end(emitter, action);
    invalidate.destination = i.reg();
    invalidate.first = low;
    invalidate.second = high;
    invalidate.shift = 64 - width(emitter);
  }

  /** Bits of instruction information of INS and OUTS: address size and segment. */
  static int stringInformation(int addressWidth, int segment) {
    return addressSize(addressWidth) | segment << 15;
  }

  /** Bits 9:7: 0 for 16, 1 for 32, 2 for 64 bits. */
  private static int addressSize(int width) {
    return Integer.numberOfTrailingZeros(width / 16) << 7;
  }
}
