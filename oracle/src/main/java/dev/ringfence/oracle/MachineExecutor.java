package dev.ringfence.oracle;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.InstructionStepper;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The machine's processor, set up as Linux has set up the real one: CPL 3, the segments of user
 * programs, and nothing mapped but the code and data pages of the runner.
 */
final class MachineExecutor implements CaseExecutor {
  private static final int CODE_FRAME = 0x10000;
  private static final int DATA_FRAME = 0x20000;
  private static final int STOPS = 0xcc;
  private static final long USER_PAGE = 0x7;
  private static final long NO_EXECUTE = 1L << 63;
  private static final int CODE_SELECTOR_64 = 0x33;
  private static final int CODE_SELECTOR_32 = 0x23;
  private static final int DATA_SELECTOR = 0x2b;

  /** Supervisor pages: IDT, GDT with TSS, stack. */
  private static final int SYSTEM_FRAME = 0x6000;

  private static final int IDT = SYSTEM_FRAME;
  private static final int GDT = SYSTEM_FRAME + 0x1000;
  private static final int TSS = GDT + 0x100;
  private static final int STACK_TOP = SYSTEM_FRAME + 0x3000;
  private static final int KERNEL_CODE_SELECTOR = 0x10;

  /** Handlers, which are never executed, lie at this address plus 16 times their vector. */
  private static final long HANDLERS = 0x7000_0000L;

  /** The status word's bits that say where TOP is. */
  private static final int TOP = 7 << 11;

  private final PhysicalMemory physical = new PhysicalMemory(1 << 20);
  private final Processor processor;
  private final ProcessorState state;
  private final InstructionStepper stepper;
  private final MemorySegment ram;
  private final byte[] code = new byte[24];
  private long placed = CaseRecord.CODE_BASE;
  private long placedLow;
  private long placedHigh;
  private int placedWidth;

  /**
   * @param translated whether instructions are translated
   */
  MachineExecutor(boolean translated) {
    VirtualClock clock = new VirtualClock();
    processor =
        new Processor(
            0,
            CpuModel.load(CpuModel.DEFAULT),
            physical,
            new IoSpace("ports"),
            clock,
            new Frequency(1_000_000_000));
    state = processor.state();
    ram = MemorySegment.ofAddress(physical.hostAddress(0)).reinterpret(physical.size());
    pageTables();
    physical.fill(CODE_FRAME, CaseRecord.CODE_SIZE, (byte) STOPS);
    systemState();
    descriptors();
    stepper = new InstructionStepper(processor, translated);
  }

  private void pageTables() {
    physical.writeLong(0x1000, 0x2000 | USER_PAGE);
    physical.writeLong(0x2000, 0x3000 | USER_PAGE);
    table(0x4000, CaseRecord.CODE_BASE, CODE_FRAME | USER_PAGE);
    table(0x5000, CaseRecord.DATA_BASE, DATA_FRAME | USER_PAGE | NO_EXECUTE);
  }

  /** A page table with two pages. */
  private void table(int at, long linear, long entry) {
    physical.writeLong(0x3000 + (linear >>> 21) * 8, at | USER_PAGE);
    physical.writeLong(at, entry);
    physical.writeLong(at + 8, entry + 0x1000);
  }

  /**
   * A GDT like that of Linux, a TSS with a stack, and the three gates that user programs may use
   * (INT3, INTO and INT n deliver by themselves instead of raising an exception).
   */
  private void descriptors() {
    physical.writeLong(0x3000, 0x9000 | 3);
    for (int page = 0; page < 3; page++) {
      int address = SYSTEM_FRAME + 0x1000 * page;
      physical.writeLong(0x9000 + (address >>> 12) * 8, address | 3);
    }
    physical.writeLong(GDT + KERNEL_CODE_SELECTOR, 0x00af9b000000ffffL);
    physical.writeLong(TSS + 4, STACK_TOP);
    // No I/O permission bitmap.
    physical.writeShort(TSS + 0x66, (short) 0x68);
    for (int vector = 3; vector <= 4; vector++) {
      long handler = HANDLERS + 16L * vector;
      physical.writeLong(
          IDT + 16 * vector,
          handler & 0xffff
              | KERNEL_CODE_SELECTOR << 16
              | 0xee00L << 32
              | (handler >>> 16 & 0xffff) << 48);
      physical.writeLong(IDT + 16 * vector + 8, handler >>> 32);
    }
    state.idtrBase = IDT;
    state.idtrLimit = 0xfff;
    state.gdtrBase = GDT;
    state.gdtrLimit = 0x7f;
    state.trBase = TSS;
    state.limit[SegmentRegister.TR] = 0x67;
    state.access[SegmentRegister.TR] = 0xb | SegmentRegister.PRESENT;
    state.selector[SegmentRegister.TR] = 0x40;
  }

  private void systemState() {
    state.cr0 =
        ControlBits.CR0_PE
            | ControlBits.CR0_MP
            | ControlBits.CR0_ET
            | ControlBits.CR0_NE
            | ControlBits.CR0_WP
            | ControlBits.CR0_AM
            | ControlBits.CR0_PG;
    state.cr3 = 0x1000;
    state.cr4 =
        ControlBits.CR4_PAE
            | ControlBits.CR4_PGE
            | ControlBits.CR4_OSFXSR
            | ControlBits.CR4_OSXMMEXCPT
            | ControlBits.CR4_UMIP
            | ControlBits.CR4_FSGSBASE
            | ControlBits.CR4_OSXSAVE
            | ControlBits.CR4_SMEP
            | ControlBits.CR4_SMAP;
    state.efer =
        ControlBits.EFER_SCE | ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
    state.xcr0 = 3;
    state.cpl = 3;
  }

  private void segments(boolean code32) {
    int data =
        3
            | SegmentRegister.CODE_OR_DATA
            | 3 << SegmentRegister.DPL_SHIFT
            | SegmentRegister.PRESENT
            | SegmentRegister.DEFAULT_BIG
            | SegmentRegister.GRANULARITY;
    for (int i = 0; i < SegmentRegister.LDTR; i++) {
      state.limit[i] = 0xffffffffL;
      state.selector[i] = DATA_SELECTOR;
      state.access[i] = data;
      state.setSegmentBase(i, 0);
    }
    state.selector[SegmentRegister.CS] = code32 ? CODE_SELECTOR_32 : CODE_SELECTOR_64;
    state.access[SegmentRegister.CS] =
        data & ~SegmentRegister.DEFAULT_BIG
            | 0xb
            | (code32 ? SegmentRegister.DEFAULT_BIG : SegmentRegister.LONG_MODE_CODE);
    for (int i = SegmentRegister.FS; i <= SegmentRegister.GS; i++) {
      state.selector[i] = 0;
      state.limit[i] = 0;
      state.access[i] = SegmentRegister.UNUSABLE;
    }
  }

  @Override
  public void execute(CaseRecord input, CaseRecord output) {
    boolean sameCode = place(input);
    load(input);
    ProcessorException exception = stepper.step(sameCode);
    store(input, output);
    if (exception == null && state.cpl == 0) {
      delivered(input, output);
    } else if (exception == null) {
      output.setCompleted();
    } else {
      boolean pageFault = exception.vector() == ProcessorException.PAGE_FAULT;
      output.setException(
          exception.vector(), exception.errorCode(), pageFault ? exception.address() : 0);
    }
  }

  /** The instruction went to a handler by itself: takes the state from the handler's stack. */
  private void delivered(CaseRecord input, CaseRecord output) {
    long frame = state.r[Slot.RSP];
    output.setException((int) (state.rip - HANDLERS) / 16, 0, 0);
    output.setRip(physical.readLong(frame));
    output.setRflags(physical.readLong(frame + 16));
    output.setRegister(4, physical.readLong(frame + 24));
    state.cpl = 3;
    segments(input.codeWidth() == 32);
  }

  /** Puts the instruction where it belongs; returns whether it is there already. */
  private boolean place(CaseRecord input) {
    int width = input.codeWidth();
    if (placed == input.rip()
        && placedLow == input.getLong(8)
        && placedHigh == input.getLong(16)
        && placedWidth == width) {
      return true;
    }
    Arrays.fill(code, (byte) STOPS);
    write(placed, code);
    byte[] next = input.code();
    System.arraycopy(next, 0, code, 0, next.length);
    write(input.rip(), code);
    placed = input.rip();
    placedLow = input.getLong(8);
    placedHigh = input.getLong(16);
    placedWidth = width;
    segments(width == 32);
    return false;
  }

  /** As much as fits into the code pages. */
  private void write(long linear, byte[] bytes) {
    long offset = linear - CaseRecord.CODE_BASE;
    int length = (int) Math.min(bytes.length, CaseRecord.CODE_SIZE - offset);
    physical.write(CODE_FRAME + offset, bytes, 0, length);
  }

  private void load(CaseRecord input) {
    for (int i = 0; i < 16; i++) {
      state.r[i] = input.register(i);
    }
    state.rip = input.rip();
    state.setRflags(input.rflags());
    state.setSegmentBase(SegmentRegister.FS, input.getLong(CaseRecord.FS_BASE_AT));
    state.setSegmentBase(SegmentRegister.GS, input.getLong(CaseRecord.GS_BASE_AT));
    if (input.has(CaseRecord.MEMORY)) {
      MemorySegment.copy(
          input.segment(),
          CaseRecord.MIDDLE_AT,
          ram,
          DATA_FRAME + CaseRecord.MIDDLE - CaseRecord.DATA_BASE,
          CaseRecord.MIDDLE_SIZE);
      MemorySegment.copy(
          input.segment(),
          CaseRecord.LAST_AT,
          ram,
          DATA_FRAME + CaseRecord.LAST - CaseRecord.DATA_BASE,
          CaseRecord.LAST_SIZE);
    }
    if (input.has(CaseRecord.FLOATING)) {
      loadFloating(input);
    }
  }

  private void loadFloating(CaseRecord input) {
    int status = input.getShort(CaseRecord.FX_STATUS);
    state.x87Control = input.getShort(CaseRecord.FX);
    state.x87Status = status & ~TOP;
    state.x87Top = status >>> 11 & 7;
    state.x87Empty = ~input.getByte(CaseRecord.FX_TAGS) & 0xff;
    state.mxcsr = input.getInt(CaseRecord.FX_MXCSR);
    for (int i = 0; i < 8; i++) {
      int physicalRegister = state.x87Top + i & 7;
      int at = CaseRecord.FX_STACK + 16 * i;
      state.r[Slot.X87 + physicalRegister] = input.getLong(at);
      state.x87Exponents[physicalRegister] = (short) input.getShort(at + 8);
    }
    for (int i = 0; i < 32; i++) {
      state.r[Slot.VECTOR + i] = input.getLong(CaseRecord.FX_VECTORS + 8 * i);
    }
  }

  private void store(CaseRecord input, CaseRecord output) {
    for (int i = 0; i < 16; i++) {
      output.setRegister(i, state.r[i]);
    }
    output.setRip(state.rip);
    output.setRflags(state.rflags());
    output.setLong(CaseRecord.FS_BASE_AT, state.segmentBase(SegmentRegister.FS));
    output.setLong(CaseRecord.GS_BASE_AT, state.segmentBase(SegmentRegister.GS));
    if (input.has(CaseRecord.MEMORY)) {
      MemorySegment.copy(
          ram,
          DATA_FRAME + CaseRecord.MIDDLE - CaseRecord.DATA_BASE,
          output.segment(),
          CaseRecord.MIDDLE_AT,
          CaseRecord.MIDDLE_SIZE);
      MemorySegment.copy(
          ram,
          DATA_FRAME + CaseRecord.LAST - CaseRecord.DATA_BASE,
          output.segment(),
          CaseRecord.LAST_AT,
          CaseRecord.LAST_SIZE);
    }
    if (input.has(CaseRecord.FLOATING)) {
      storeFloating(output);
    }
  }

  private void storeFloating(CaseRecord output) {
    output.setShort(CaseRecord.FX, state.x87Control);
    output.setShort(CaseRecord.FX_STATUS, state.x87Status & ~TOP | state.x87Top << 11);
    output.setByte(CaseRecord.FX_TAGS, ~state.x87Empty & 0xff);
    output.setInt(CaseRecord.FX_MXCSR, state.mxcsr);
    for (int i = 0; i < 8; i++) {
      int physicalRegister = state.x87Top + i & 7;
      int at = CaseRecord.FX_STACK + 16 * i;
      output.setLong(at, state.r[Slot.X87 + physicalRegister]);
      output.setShort(at + 8, state.x87Exponents[physicalRegister]);
    }
    for (int i = 0; i < 32; i++) {
      output.setLong(CaseRecord.FX_VECTORS + 8 * i, state.r[Slot.VECTOR + i]);
    }
  }
}
