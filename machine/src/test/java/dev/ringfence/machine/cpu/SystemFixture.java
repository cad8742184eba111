package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.ringfence.machine.interpret.InstructionStepper;
import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A processor with 2 MiB of RAM, descriptor tables and, in long mode, page tables that map all of
 * it for users. Tests put it into a mode and execute single instructions.
 */
public final class SystemFixture implements AutoCloseable {
  public static final int GDT = 0x1000;
  public static final int IDT = 0x2000;
  public static final int TSS = 0x3000;
  public static final int LDT = 0x3800;
  public static final int CODE = 0x8000;
  public static final int HANDLER = 0xa000;

  /** Top of the stack that tests start with, and of the stacks of rings 0 to 2 and IST 1. */
  public static final int STACK = 0x18000;

  public static final int STACK0 = 0x10000;
  public static final int STACK1 = 0x11000;
  public static final int STACK2 = 0x12000;
  public static final int IST1 = 0x13000;

  /** Selectors: flat segments of each ring at 10H + 20H * ring, in the order of these offsets. */
  public static final int CODE0 = 0x10;

  public static final int DATA0 = 0x18;
  public static final int CODE64 = 0x20;
  public static final int RING = 0x20;
  public static final int CODE3 = 0x73;
  public static final int DATA3 = 0x7b;
  public static final int CODE64_3 = 0x83;
  public static final int TASK = 0xe0;
  public static final int FREE = 0x100;

  private static final int PAGE_TABLES = 0x100000;

  /** A local APIC that remembers what it is told. */
  static final class Apic implements InterruptSource {
    int priority;
    long apicBase = 0xfee00900L;
    long deadline;
    int counterChanges;

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
      return priority;
    }

    @Override
    public void setTaskPriority(int value) {
      priority = value;
    }

    @Override
    public long readX2Apic(int msr) throws InvalidRegisterException {
      throw new InvalidRegisterException("not in x2APIC mode");
    }

    @Override
    public void writeX2Apic(int msr, long value) throws InvalidRegisterException {
      throw new InvalidRegisterException("not in x2APIC mode");
    }

    @Override
    public long base() {
      return apicBase;
    }

    @Override
    public void setBase(long value) throws InvalidRegisterException {
      if (value >>> 46 != 0) {
        throw new InvalidRegisterException("reserved bits");
      }
      apicBase = value;
    }

    @Override
    public long tscDeadline() {
      return deadline;
    }

    @Override
    public void setTscDeadline(long ticks) {
      deadline = ticks;
    }

    @Override
    public void timeStampCounterChanged() {
      counterChanges++;
    }
  }

  public final PhysicalMemory physical = new PhysicalMemory(2 << 20);
  public final IoSpace ports = new IoSpace("port");
  public final VirtualClock clock = new VirtualClock();
  public final Processor processor;
  public final ProcessorState state;

  /** Port accesses, as "in 3f8 1" and "out 3f8 1 41". */
  public final List<String> portLog = new ArrayList<>();

  final Apic apic = new Apic();
  private final InstructionStepper stepper;

  public SystemFixture() {
    this(CpuModel.load(CpuModel.DEFAULT));
  }

  SystemFixture(CpuModel model) {
    processor = new Processor(0, model, physical, ports, clock, new Frequency(1_000_000_000));
    processor.connect(apic);
    state = processor.state();
    stepper = new InstructionStepper(processor, false);
    ProcessorReset.powerUp(processor);
    ports.attach(
        "log",
        0,
        0x10000,
        new IoRegion() {
          @Override
          public long read(long offset, int bytes) {
            portLog.add("in %x %d".formatted(offset, bytes));
            return 0x8877665544332211L;
          }

          @Override
          public void write(long offset, int bytes, long value) {
            portLog.add("out %x %d %x".formatted(offset, bytes, value));
          }
        });
  }

  /** Real-address mode with code at {@link #CODE}. */
  public SystemFixture realMode() {
    state.cr0 = ControlBits.CR0_ET;
    state.idtrBase = 0;
    state.idtrLimit = 0x3ff;
    Segmentation.loadReal(state, SegmentRegister.CS, 0);
    Segmentation.loadReal(state, SegmentRegister.SS, STACK - 0x10000 >> 4);
    state.r[Slot.RSP] = 0xfff0;
    state.rip = CODE;
    processor.memory().contextChanged();
    return this;
  }

  /** 32-bit protected mode without paging. */
  public SystemFixture protectedMode(int cpl) {
    tables();
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_ET | ControlBits.CR0_NE;
    physical.writeInt(TSS + 4, STACK0);
    physical.writeInt(TSS + 8, DATA0);
    physical.writeInt(TSS + 12, STACK1);
    physical.writeInt(TSS + 16, DATA0 + RING | 1);
    physical.writeInt(TSS + 20, STACK2);
    physical.writeInt(TSS + 24, DATA0 + 2 * RING | 2);
    enter(CODE0 + RING * cpl | cpl, cpl);
    return this;
  }

  /** Virtual-8086 mode with code at {@link #CODE}. */
  public SystemFixture virtual8086() {
    protectedMode(0);
    state.systemFlags |= Flags.VM;
    state.cpl = 3;
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.GS; segment++) {
      Segmentation.loadReal(state, segment, segment << 4);
    }
    Segmentation.loadReal(state, SegmentRegister.CS, CODE >> 4);
    Segmentation.loadReal(state, SegmentRegister.SS, STACK - 0x10000 >> 4);
    state.r[Slot.RSP] = 0xfff0;
    state.rip = 0;
    processor.memory().contextChanged();
    return this;
  }

  /** 64-bit mode. */
  public SystemFixture longMode(int cpl) {
    tables();
    longModeState();
    enter(CODE64 + RING * cpl | cpl, cpl);
    return this;
  }

  /** 32-bit compatibility mode. */
  public SystemFixture compatibilityMode(int cpl) {
    tables();
    longModeState();
    enter(CODE0 + RING * cpl | cpl, cpl);
    return this;
  }

  private void longModeState() {
    physical.writeLong(PAGE_TABLES, PAGE_TABLES + 0x1000 | 7);
    physical.writeLong(PAGE_TABLES + 0x1000, PAGE_TABLES + 0x2000 | 7);
    physical.writeLong(PAGE_TABLES + 0x2000, 0x87);
    state.cr3 = PAGE_TABLES;
    state.cr4 = ControlBits.CR4_PAE | ControlBits.CR4_OSFXSR;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_SCE;
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_ET | ControlBits.CR0_NE;
    physical.writeLong(TSS + 4, STACK0);
    physical.writeLong(TSS + 12, STACK1);
    physical.writeLong(TSS + 20, STACK2);
    physical.writeLong(TSS + 36, IST1);
    processor.memory().invalidateAll();
  }

  private void tables() {
    for (int ring = 0; ring < 4; ring++) {
      int dpl = ring << 5;
      setDescriptor(CODE0 + RING * ring, descriptor(0, 0xfffff, 0x9b | dpl, 0xc));
      setDescriptor(DATA0 + RING * ring, descriptor(0, 0xfffff, 0x93 | dpl, 0xc));
      setDescriptor(CODE64 + RING * ring, descriptor(0, 0xfffff, 0x9b | dpl, 0xa));
    }
    setDescriptor(TASK, descriptor(TSS, 0x7ff, 0x8b, 0));
    state.gdtrBase = GDT;
    state.gdtrLimit = 0x7ff;
    state.idtrBase = IDT;
    state.idtrLimit = 0xfff;
    state.selector[SegmentRegister.TR] = TASK;
    state.trBase = TSS;
    state.limit[SegmentRegister.TR] = 0x7ff;
    state.access[SegmentRegister.TR] = 0x8b;
    Segmentation.setNull(state, SegmentRegister.LDTR, 0);
  }

  private void enter(int code, int cpl) {
    Segmentation.commitCode(state, code, readDescriptor(code), cpl);
    int data = DATA0 + RING * cpl | cpl;
    for (int segment :
        new int[] {
          SegmentRegister.SS,
          SegmentRegister.DS,
          SegmentRegister.ES,
          SegmentRegister.FS,
          SegmentRegister.GS
        }) {
      Segmentation.commit(state, segment, data, readDescriptor(data));
    }
    state.rip = CODE;
    state.r[Slot.RSP] = STACK;
    processor.memory().contextChanged();
  }

  /** A descriptor from base, limit field, access byte and the four flags G, D/B, L, AVL. */
  public static long descriptor(long base, long limit, int access, int flags) {
    return limit & 0xffff
        | (base & 0xffffff) << 16
        | (long) access << 40
        | (limit >>> 16 & 0xf) << 48
        | (long) flags << 52
        | (base >>> 24 & 0xff) << 56;
  }

  /** A gate's first eight bytes. */
  public static long gate(int selector, long offset, int access, int parameters) {
    return offset & 0xffff
        | (long) selector << 16
        | (long) parameters << 32
        | (long) access << 40
        | (offset & 0xffff0000L) << 32;
  }

  public void setDescriptor(int selector, long descriptor) {
    physical.writeLong(GDT + (selector & ~7), descriptor);
  }

  public long readDescriptor(int selector) {
    return physical.readLong(GDT + (selector & ~7));
  }

  /** An interrupt gate (access 8EH) or trap gate (8FH) and so on. */
  public void setGate(int vector, int selector, long offset, int access) {
    int bytes = state.longMode() ? 16 : 8;
    physical.writeLong(IDT + vector * bytes, gate(selector, offset, access, 0));
    if (bytes == 16) {
      physical.writeLong(IDT + vector * 16 + 8, offset >>> 32);
    }
  }

  /** Gates for all 256 vectors with the handler of vector v at HANDLER + v. */
  public void setAllGates(int selector, int access) {
    for (int vector = 0; vector < 256; vector++) {
      setGate(vector, selector, HANDLER + vector, access);
    }
  }

  /** Executes one instruction, given in hexadecimal; returns the exception that it raised. */
  public @Nullable ProcessorException execute(String hex) {
    byte[] code = HexFormat.of().parseHex(hex.replace(" ", ""));
    long base = state.code64() ? 0 : state.segmentBase(SegmentRegister.CS);
    physical.write(base + state.rip, code, 0, code.length);
    return stepper.step(false);
  }

  /** Executes an instruction that must complete. */
  public void run(String hex) {
    ProcessorException exception = execute(hex);
    assertNull(exception, () -> hex + " raised " + exception);
  }

  /** Executes an instruction that must raise an exception and change no register. */
  public void expect(int vector, int errorCode, String hex) {
    long rip = state.rip;
    int cs = state.selector[SegmentRegister.CS];
    int ss = state.selector[SegmentRegister.SS];
    long rsp = state.r[Slot.RSP];
    long flags = state.rflags();
    ProcessorException exception = execute(hex);
    assertNotNull(exception, () -> hex + " raised nothing");
    assertEquals(
        "#%d(%x)".formatted(vector, errorCode),
        "#%d(%x)".formatted(exception.vector(), exception.errorCode()),
        hex);
    assertEquals(rip, state.rip, "RIP");
    assertEquals(cs, state.selector[SegmentRegister.CS], "CS");
    assertEquals(ss, state.selector[SegmentRegister.SS], "SS");
    assertEquals(rsp, state.r[Slot.RSP], "RSP");
    assertEquals(flags, state.rflags(), "RFLAGS");
  }

  /** Expects an exception with error code 0, or without one. */
  public void expect(int vector, String hex) {
    expect(vector, 0, hex);
  }

  /** Selector in a segment register. */
  public int selector(int segment) {
    return state.selector[segment];
  }

  @Override
  public void close() {
    physical.close();
  }
}
