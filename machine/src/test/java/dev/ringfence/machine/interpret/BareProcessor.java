package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorReset;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.machine.translate.Translator;
import java.util.HexFormat;

/**
 * One processor in 64-bit mode with hand-made page tables and nothing else: no devices, no
 * interrupts. Code is given as hexadecimal bytes and runs until HLT. Page faults go to a handler of
 * one HLT; tests then look at CR2 and at the error code on the stack.
 */
public final class BareProcessor implements AutoCloseable {
  public static final long PRESENT = 1;
  public static final long WRITABLE = 2;
  public static final long USER = 4;
  public static final long ACCESSED = 1 << 5;
  public static final long DIRTY = 1 << 6;
  public static final long LARGE = 1 << 7;
  public static final long GLOBAL = 1 << 8;
  public static final long NO_EXECUTE = 1L << 63;

  /** Physical and linear address of code that {@link #run(String)} places. */
  public static final long CODE = 0x10_0000;

  /** A page of RAM for data, mapped to itself. */
  public static final long DATA = 0x20_0000;

  /** For {@link #setGate}: an interrupt gate for the kernel alone. */
  public static final int INTERRUPT_GATE = 0x8e00;

  private static final long TABLES = 0x40_0000;
  private static final long HANDLER = 0x30_0000;
  private static final long IDT = 0x31_0000;
  private static final long GDT = 0x32_0000;
  private static final long STACK = 0x34_0000;
  private static final int VECTORS = 32;
  private static final int CODE_SELECTOR = 8;

  public final PhysicalMemory memory = new PhysicalMemory(64 << 20);
  public final CodeCache cache;
  public final Processor processor;
  public final ProcessorState state;
  private final ProcessorLoop loop;
  private long nextTable = TABLES + 0x1000;

  /** A processor whose code is interpreted. */
  public BareProcessor() {
    this(TranslationMode.OFF);
  }

  /** A processor whose code is translated as a mode says. */
  public BareProcessor(TranslationMode mode) {
    this(mode, CodeCache.Limits.STANDARD);
  }

  /** A processor that keeps no more code than limits say. */
  public BareProcessor(TranslationMode mode, CodeCache.Limits limits) {
    CpuModel model = CpuModel.load(CpuModel.DEFAULT);
    cache = new CodeCache(memory, mode, limits);
    VirtualClock clock = new VirtualClock();
    processor =
        new Processor(0, model, memory, new IoSpace("port"), clock, new Frequency(2_000_000_000L));
    processor.connect(new NoInterrupts());
    ProcessorReset.powerUp(processor);
    state = processor.state();
    loop = new ProcessorLoop(processor, cache, memory);
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_WP | ControlBits.CR0_NE;
    state.cr4 = ControlBits.CR4_PAE | ControlBits.CR4_PGE;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
    state.cr3 = TABLES;
    long codeDescriptor = 0x00af9b000000ffffL;
    memory.writeLong(GDT + CODE_SELECTOR, codeDescriptor);
    state.gdtrBase = GDT;
    state.gdtrLimit = 0xff;
    state.idtrBase = IDT;
    state.idtrLimit = VECTORS * 16 - 1;
    state.selector[SegmentRegister.CS] = CODE_SELECTOR;
    state.access[SegmentRegister.CS] = 0xa09b;
    state.limit[SegmentRegister.CS] = 0xffffffffL;
    state.setSegmentBase(SegmentRegister.CS, 0);
    for (int vector = 0; vector < VECTORS; vector++) {
      long handler = HANDLER + vector;
      memory.writeByte(handler, (byte) 0xf4);
      setGate(vector, handler, INTERRUPT_GATE);
    }
    for (long page = 0; page < TABLES; page += 4096) {
      map(page, page, PRESENT | WRITABLE | USER);
    }
    state.r[Slot.RSP] = STACK;
    processor.memory().invalidateAll();
  }

  /** Writes a gate of the IDT; type, DPL and present bit are as in its second doubleword. */
  public void setGate(int vector, long handler, int access) {
    memory.writeLong(
        IDT + 16L * vector,
        handler & 0xffff
            | (long) CODE_SELECTOR << 16
            | (long) access << 32
            | (handler >>> 16) << 48);
    memory.writeLong(IDT + 16L * vector + 8, handler >>> 32);
  }

  /** Writes a 4 KiB translation into the tables, without invalidating anything. */
  public void map(long linear, long physical, long flags) {
    memory.writeLong(entryAddress(linear, 1), physical | flags);
  }

  /**
   * Physical address of the entry of a level (1: page table) for an address; makes the levels
   * above.
   */
  public long entryAddress(long linear, int level) {
    long table = TABLES;
    for (int at = 4; at > level; at--) {
      long entryAddress = table + (linear >>> 12 + 9 * (at - 1) & 511) * 8;
      long entry = memory.readLong(entryAddress);
      if ((entry & PRESENT) == 0) {
        entry = nextTable | PRESENT | WRITABLE | USER;
        nextTable += 4096;
        memory.writeLong(entryAddress, entry);
      }
      table = entry & 0x000ffffffffff000L;
    }
    return table + (linear >>> 12 + 9 * (level - 1) & 511) * 8;
  }

  /** Places bytes in physical memory, as a loader does. */
  public void place(long physical, String hex) {
    byte[] bytes = HexFormat.of().parseHex(hex.replaceAll("\\s", ""));
    memory.write(physical, bytes, 0, bytes.length);
  }

  /** Runs code from {@link #CODE} until it halts. */
  public void run(String hex) {
    place(CODE, hex);
    runAt(CODE);
  }

  /** Runs from an address until the processor halts. */
  public void runAt(long linear) {
    state.rip = linear;
    go(1_000_000);
    if (!state.halted) {
      throw new AssertionError("did not halt; RIP is " + Long.toHexString(state.rip));
    }
  }

  /** Runs until the processor halts, or for so many instructions. */
  public void go(long instructions) {
    state.halted = false;
    processor.wake(processor.time());
    processor.requestAttention();
    loop.run(processor.time() + instructions);
  }

  /** What has been translated. */
  public Translator.Counts translations() {
    return loop.translationCounts();
  }

  /** The vector whose handler halted the processor, or -1 if it halted elsewhere. */
  public int raised() {
    long at = state.rip - 1 - HANDLER;
    return at >= 0 && at < VECTORS ? (int) at : -1;
  }

  /** Error code on the stack of a handler. */
  public long errorCode() {
    return memory.readLong(state.r[Slot.RSP]);
  }

  @Override
  public void close() {
    memory.close();
  }

  /** A local APIC that never has anything to say. */
  public static class NoInterrupts implements InterruptSource {
    @Override
    public boolean hasInterrupt() {
      return false;
    }

    @Override
    public int acknowledge() {
      return -1;
    }

    @Override
    public int taskPriority() {
      return 0;
    }

    @Override
    public void setTaskPriority(int priority) {}

    @Override
    public long readX2Apic(int msr) throws InvalidRegisterException {
      throw new InvalidRegisterException("no local APIC");
    }

    @Override
    public void writeX2Apic(int msr, long value) throws InvalidRegisterException {
      throw new InvalidRegisterException("no local APIC");
    }

    @Override
    public long base() {
      return 0;
    }

    @Override
    public void setBase(long value) {}

    @Override
    public long tscDeadline() {
      return 0;
    }

    @Override
    public void setTscDeadline(long ticks) {}
  }
}
