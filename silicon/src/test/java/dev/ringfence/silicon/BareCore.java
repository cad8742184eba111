package dev.ringfence.silicon;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorReset;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.CodeCache;
import dev.ringfence.machine.interpret.ProcessorLoop;
import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.silicon.cache.SharedCache;
import dev.ringfence.silicon.execute.DetailedExecutor;
import dev.ringfence.silicon.model.Forwarding;
import dev.ringfence.silicon.model.SiliconModel;
import org.jspecify.annotations.Nullable;

/**
 * One core with 20 MiB of RAM and nothing else: no devices, no interrupts. The first 16 MiB are
 * mapped to themselves for the kernel, and once more at {@link #USER} for all. Every exception goes
 * to a handler of one HLT, which ends the run.
 */
public final class BareCore implements AutoCloseable {
  public static final long PRESENT = 1;
  public static final long WRITABLE = 2;
  public static final long USER_PAGE = 4;
  public static final long ACCESSED = 1 << 5;
  public static final long DIRTY = 1 << 6;

  /** What is at a physical address is here too, for user code. */
  public static final long USER = 0x40_0000_0000L;

  public static final long CODE = 0x10_0000;

  /** A page of RAM for data. */
  public static final long DATA = 0x20_0000;

  /** 256 lines, each in a page of its own, that tests look for in the caches. */
  public static final long PROBES = 0x80_0000;

  public static final int PROBE_SHIFT = 12;

  private static final long MAPPED = 16 << 20;
  private static final long TABLES = 0x100_0000;
  private static final long HANDLERS = 0x30_0000;
  private static final long IDT = 0x31_0000;
  private static final long GDT = 0x32_0000;
  private static final long TSS = 0x33_0000;
  private static final long STACK = 0x34_f000;
  private static final long USER_STACK = USER + 0x35_f000;
  private static final int VECTORS = 32;
  private static final int KERNEL_CODE = 8;
  private static final int USER_CODE = 16;

  public final PhysicalMemory memory = new PhysicalMemory(20 << 20);
  public final Processor processor;
  public final ProcessorState state;

  /** The silicon, or null: the machine's own executor runs. */
  public final @Nullable Core core;

  private final CodeCache code = new CodeCache(memory, TranslationMode.OFF);
  private final ProcessorLoop loop;
  private long nextTable = TABLES + 0x1000;

  /** A processor without silicon. */
  public BareCore() {
    this(null, TimeBase.INSTRUCTIONS);
  }

  /** A processor with a model of its silicon. */
  public BareCore(@Nullable SiliconModel silicon, TimeBase timeBase) {
    CpuModel model = CpuModel.load(silicon == null ? CpuModel.DEFAULT : silicon.name());
    VirtualClock clock = new VirtualClock();
    processor =
        new Processor(
            0, model, memory, new IoSpace("port"), clock, new Frequency(model.tscHertz()));
    processor.connect(new NoInterrupts());
    ProcessorReset.powerUp(processor);
    state = processor.state();
    loop = new ProcessorLoop(processor, code, memory);
    if (silicon == null) {
      core = null;
    } else {
      Core made = new Core(silicon, 1, new SharedCache(silicon.caches()), memory);
      core = made;
      processor.setMicroarchitecture(new CoreControls(made, 0, processor));
      loop.setExecutor((p, blocks) -> new DetailedExecutor(p, blocks, made, 0, timeBase));
    }
    enterLongMode();
  }

  /** A model with other mechanisms of forwarding. */
  public static SiliconModel with(SiliconModel model, Forwarding forwarding) {
    return new SiliconModel(
        model.name(),
        model.vendor(),
        model.caches(),
        model.translation(),
        model.buffers(),
        model.pipeline(),
        model.predictors(),
        forwarding);
  }

  private void enterLongMode() {
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_WP | ControlBits.CR0_NE;
    state.cr4 = ControlBits.CR4_PAE | ControlBits.CR4_PGE | ControlBits.CR4_OSFXSR;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
    state.cr3 = TABLES;
    memory.writeLong(GDT + KERNEL_CODE, 0x00af9b000000ffffL);
    memory.writeLong(GDT + USER_CODE, 0x00affb000000ffffL);
    memory.writeLong(TSS + 4, STACK);
    state.gdtrBase = GDT;
    state.gdtrLimit = 0xff;
    state.idtrBase = IDT;
    state.idtrLimit = VECTORS * 16 - 1;
    state.trBase = TSS;
    state.limit[SegmentRegister.TR] = 0x67;
    state.access[SegmentRegister.TR] = 0x8b;
    for (int vector = 0; vector < VECTORS; vector++) {
      long handler = HANDLERS + vector;
      memory.writeByte(handler, (byte) 0xf4);
      // A present interrupt gate, which INT3 may use from any ring.
      memory.writeLong(
          IDT + 16L * vector,
          handler & 0xffff | (long) KERNEL_CODE << 16 | 0xee00L << 32 | (handler >>> 16) << 48);
    }
    for (long page = 0; page < MAPPED; page += 4096) {
      map(page, page, PRESENT | WRITABLE | ACCESSED | DIRTY);
      map(USER + page, page, PRESENT | WRITABLE | USER_PAGE | ACCESSED | DIRTY);
    }
    processor.memory().invalidateAll();
  }

  /** Writes a 4 KiB translation into the tables and drops what was kept of the old one. */
  public void map(long linear, long physical, long flags) {
    memory.writeLong(entryAddress(linear), physical | flags);
    processor.memory().invalidatePage(linear);
  }

  /** Physical address of the last entry of the walk for an address. */
  public long entryAddress(long linear) {
    long table = TABLES;
    for (int at = 4; at > 1; at--) {
      long entryAddress = table + (linear >>> 12 + 9 * (at - 1) & 511) * 8;
      long entry = memory.readLong(entryAddress);
      if ((entry & PRESENT) == 0) {
        entry = nextTable | PRESENT | WRITABLE | USER_PAGE | ACCESSED;
        nextTable += 4096;
        memory.writeLong(entryAddress, entry);
      }
      table = entry & 0x000ffffffffff000L;
    }
    return table + (linear >>> 12 & 511) * 8;
  }

  /** Runs kernel code until it halts. */
  public void run(Assembler code) {
    byte[] bytes = code.code();
    memory.write(CODE, bytes, 0, bytes.length);
    runAt(CODE);
  }

  /** Runs kernel code at an address until it halts. */
  public void runAt(long linear) {
    segment(KERNEL_CODE, 0xa09b, 0);
    state.r[Slot.RSP] = STACK;
    go(linear);
  }

  /** Runs user code until it raises an exception. */
  public void runUser(Assembler code) {
    byte[] bytes = code.code();
    memory.write(CODE, bytes, 0, bytes.length);
    runUserAt(USER + CODE);
  }

  /** Runs user code at an address until it raises an exception. */
  public void runUserAt(long linear) {
    segment(USER_CODE | 3, 0xa0fb, 3);
    state.r[Slot.RSP] = USER_STACK;
    go(linear);
  }

  private void segment(int selector, int access, int privilege) {
    state.selector[SegmentRegister.CS] = selector;
    state.access[SegmentRegister.CS] = access;
    state.limit[SegmentRegister.CS] = 0xffffffffL;
    state.setSegmentBase(SegmentRegister.CS, 0);
    state.cpl = privilege;
  }

  private void go(long linear) {
    state.rip = linear;
    state.halted = false;
    processor.wake(processor.time());
    processor.requestAttention();
    loop.run(processor.time() + 50_000_000);
    if (!state.halted) {
      throw new AssertionError("did not halt; RIP is " + Long.toHexString(state.rip));
    }
  }

  /** Drops what has been decoded so far. */
  public void forgetCode() {
    code.clear();
  }

  /** The vector whose handler halted the processor, or -1 if it halted elsewhere. */
  public int raised() {
    long at = state.rip - 1 - HANDLERS;
    return at >= 0 && at < VECTORS ? (int) at : -1;
  }

  /** Whether a line is in the caches of the core. */
  public boolean cached(long physical) {
    Core silicon = core;
    return silicon != null
        && (silicon.caches().data().contains(physical >>> 6)
            || silicon.caches().second().contains(physical >>> 6)
            || silicon.sharedCache().cache().contains(physical >>> 6));
  }

  /** The only one of the lines at {@link #PROBES} that is in the caches, or -1. */
  public int probed() {
    int found = -1;
    for (int value = 0; value < 256; value++) {
      if (cached(PROBES + ((long) value << PROBE_SHIFT))) {
        if (found >= 0) {
          throw new AssertionError("two lines are cached: " + found + " and " + value);
        }
        found = value;
      }
    }
    return found;
  }

  @Override
  public void close() {
    memory.close();
  }

  /** A local APIC that never has anything to say. */
  private static final class NoInterrupts implements InterruptSource {
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
