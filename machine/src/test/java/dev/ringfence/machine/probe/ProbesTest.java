package dev.ringfence.machine.probe;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.translate.TranslationMode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What probes are told when privilege, address space and translations change: user code at CPL 3, a
 * kernel at CPL 0 with a handler for each way in.
 */
@ParameterizedClass
@EnumSource(names = {"OFF", "FORCED"})
class ProbesTest {
  private static final long USER = 0x12_0000;
  private static final long SYSTEM_CALL = 0x13_0000;
  private static final long HANDLERS = 0x14_0000;
  private static final long TSS = 0x33_0000;
  private static final long KERNEL_STACK = 0x35_0000;
  private static final long USER_STACK = 0x36_0000;
  private static final long FLAGS = Flags.IF | 2;
  private static final int FOR_USERS = 0x6000;
  private static final String HLT = "f4";
  private static final String IRETQ = "48cf";
  private static final String SYSRETQ = "480f07";
  private static final String SYSCALL = "0f05";

  /** Vector of an interrupt, in decimal in what is recorded. */
  private static final int DEVICE = 20;

  private final BareProcessor bare;

  ProbesTest(TranslationMode mode) {
    bare = new BareProcessor(mode);
    probes = new Probes(List.of(bare.processor), bare.cache, bare.memory);
    state = bare.state;
  }

  private final ProcessorState state;
  private final Probes probes;
  private final Recorder recorder = new Recorder();
  private final Pin pin = new Pin();

  /** Writes down each call, with RIP and CPL at that time. */
  private static final class Recorder implements Probe {
    final List<String> calls = new ArrayList<>();

    private void add(Processor processor, String what) {
      calls.add("%s at %x/%d".formatted(what, processor.state().rip, processor.state().cpl));
    }

    @Override
    public void kernelEntered(Processor processor, Entry entry, int vector) {
      add(processor, "entered " + entry + " " + vector);
    }

    @Override
    public void deliveryBegins(Processor processor, Entry entry, int vector) {
      add(processor, "begins " + entry + " " + vector);
    }

    @Override
    public void kernelLeft(Processor processor) {
      add(processor, "left");
    }

    @Override
    public void kernelInterrupted(Processor processor, Entry entry, int vector) {
      add(processor, "interrupted " + entry + " " + vector);
    }

    @Override
    public void kernelResumed(Processor processor) {
      add(processor, "resumed");
    }

    @Override
    public void addressSpaceChanged(Processor processor, long oldCr3, long newCr3) {
      assertEquals(newCr3, processor.state().cr3);
      calls.add("CR3 %x to %x".formatted(oldCr3, newCr3));
    }

    @Override
    public void pageInvalidated(Processor processor, long linear) {
      calls.add("page %x".formatted(linear));
    }

    @Override
    public void translationsInvalidated(Processor processor, boolean global) {
      calls.add(global ? "all translations" : "translations but global ones");
    }

    @Override
    public void marked(Processor processor, int operation, long argument) {
      calls.add("marked %d %x".formatted(operation, argument));
    }

    List<String> take() {
      List<String> taken = List.copyOf(calls);
      calls.clear();
      return taken;
    }
  }

  /** A local APIC with one pin, which interrupts once for each time it is raised. */
  private static final class Pin extends BareProcessor.NoInterrupts {
    boolean raised;

    @Override
    public boolean hasInterrupt() {
      return raised;
    }

    @Override
    public int acknowledge() {
      raised = false;
      return DEVICE;
    }
  }

  @BeforeEach
  void prepare() {
    bare.processor.connect(pin);
    long gdt = state.gdtrBase;
    bare.memory.writeLong(gdt + 0x10, 0x00cf93000000ffffL);
    bare.memory.writeLong(gdt + 0x20, 0x00cff3000000ffffL);
    bare.memory.writeLong(gdt + 0x28, 0x00affb000000ffffL);
    state.star = 0x18L << 48 | 8L << 32;
    state.lstar = SYSTEM_CALL;
    state.fmask = Flags.IF;
    state.efer |= ControlBits.EFER_SCE;
    state.trBase = TSS;
    state.limit[SegmentRegister.TR] = 0x67;
    state.access[SegmentRegister.TR] = 0x8b;
    state.selector[SegmentRegister.TR] = 0x40;
    bare.memory.writeLong(TSS + 4, KERNEL_STACK);
    for (int vector = 0; vector < 32; vector++) {
      long handler = handler(vector);
      int access = BareProcessor.INTERRUPT_GATE | (vector == 21 || vector == 3 ? FOR_USERS : 0);
      bare.setGate(vector, handler, access);
      bare.place(handler, HLT);
    }
    probes.add(recorder);
  }

  @AfterEach
  void close() {
    bare.close();
  }

  private static long handler(int vector) {
    return HANDLERS + 0x100L * vector;
  }

  /** Runs kernel code until it halts. */
  private void kernel(String hex) {
    bare.run(hex);
  }

  /** Places user code and goes there by SYSRET. The calls of that are forgotten. */
  private void user(String hex) {
    bare.place(USER, hex);
    state.r[Slot.RCX] = USER;
    state.r[Slot.R11] = FLAGS;
    bare.place(CODE, SYSRETQ);
    state.rip = CODE;
    bare.go(1);
    state.r[Slot.RSP] = USER_STACK;
    assertEquals(List.of("left at 120000/3"), recorder.take());
  }

  private void goOn() {
    bare.go(1000);
    assertTrue(state.halted, "did not halt");
  }

  @Test
  void systemCallsEnterAndSysretLeaves() {
    // syscall ; nop ; syscall
    user(SYSCALL + "90" + SYSCALL);
    // The kernel goes back the first time, and halts the second time: inc rbx ; cmp rbx, 2 ; je
    // ; sysret ; hlt
    state.r[Slot.RBX] = 0;
    bare.place(SYSTEM_CALL, "48ffc3 4883fb02 7403" + SYSRETQ + HLT);
    goOn();
    assertEquals(
        List.of(
            "entered SYSTEM_CALL -1 at 130000/0",
            "left at 120002/3",
            "entered SYSTEM_CALL -1 at 130000/0"),
        recorder.take());
  }

  @Test
  void sysenterAndSysexitEnterAndLeave() {
    state.sysenterCs = 8;
    state.sysenterEip = SYSTEM_CALL;
    state.sysenterEsp = KERNEL_STACK;
    // sysenter ; in the kernel: sysexit (64-bit) to RDX, RCX, whose selectors follow those of ring
    // 0
    bare.memory.writeLong(state.gdtrBase + 0x30, 0x00cff3000000ffffL);
    user("0f34");
    state.r[Slot.RDX] = USER + 0x10;
    state.r[Slot.RCX] = USER_STACK;
    bare.place(USER + 0x10, SYSCALL);
    bare.place(SYSTEM_CALL, "480f35");
    bare.go(2);
    bare.place(SYSTEM_CALL, HLT);
    goOn();
    assertEquals(
        List.of(
            "entered SYSTEM_CALL -1 at 130000/0",
            "left at 120010/3",
            "entered SYSTEM_CALL -1 at 130000/0"),
        recorder.take());
  }

  @Test
  void softwareInterruptsEnterAndIretLeaves() {
    // int 21 ; int3
    user("cd15 cc");
    bare.place(handler(21), IRETQ);
    goOn();
    assertEquals(
        List.of(
            "begins SOFTWARE_INTERRUPT 21 at 120002/3",
            "entered SOFTWARE_INTERRUPT 21 at 141500/0",
            "left at 120002/3",
            "begins SOFTWARE_INTERRUPT 3 at 120003/3",
            "entered SOFTWARE_INTERRUPT 3 at 140300/0"),
        recorder.take());
  }

  @Test
  void aGateThatUsersMustNotCallRaisesAnException() {
    // int 22: the gate has DPL 0
    user("cd16");
    goOn();
    assertEquals(
        List.of(
            "begins SOFTWARE_INTERRUPT 22 at 120002/3",
            "begins EXCEPTION 13 at 120000/3",
            "entered EXCEPTION 13 at 140d00/0"),
        recorder.take());
  }

  @Test
  void faultsOfUsersEnterAtTheInstruction() {
    // nop ; ud2
    user("90 0f0b");
    goOn();
    assertEquals(
        List.of("begins EXCEPTION 6 at 120001/3", "entered EXCEPTION 6 at 140600/0"),
        recorder.take());
  }

  @Test
  void pageFaultsOfUsersEnterAndTheReturnTriesAgain() {
    // mov rax, [rbx] ; the handler maps nothing: add rsp, 8 ; mov rbx, rsi ; iretq
    user("488b03" + SYSCALL);
    state.r[Slot.RBX] = 0x60_0000_0000L;
    state.r[Slot.RSI] = DATA;
    bare.place(handler(14), "4883c408 4889f3" + IRETQ);
    bare.place(SYSTEM_CALL, HLT);
    goOn();
    assertEquals(
        List.of(
            "begins EXCEPTION 14 at 120000/3",
            "entered EXCEPTION 14 at 140e00/0",
            "left at 120000/3",
            "entered SYSTEM_CALL -1 at 130000/0"),
        recorder.take());
    assertEquals(0x60_0000_0000L, state.cr2);
  }

  @Test
  void interruptsOfUsersEnter() {
    user("90 90 90" + SYSCALL);
    bare.place(handler(DEVICE), IRETQ);
    bare.place(SYSTEM_CALL, HLT);
    bare.go(2);
    pin.raised = true;
    goOn();
    assertEquals(
        List.of(
            "begins INTERRUPT 20 at 120002/3",
            "entered INTERRUPT 20 at 141400/0",
            "left at 120002/3",
            "entered SYSTEM_CALL -1 at 130000/0"),
        recorder.take());
  }

  @Test
  void interruptsAndFaultsOfTheKernelInterruptAndIretResumes() {
    // sti ; nop ; nop ; int 21 ; cli ; hlt
    bare.place(CODE, "fb 90 90 cd15 fa f4");
    bare.place(handler(DEVICE), IRETQ);
    bare.place(handler(21), IRETQ);
    state.rip = CODE;
    bare.go(2);
    pin.raised = true;
    goOn();
    assertEquals(
        List.of(
            "interrupted INTERRUPT 20 at 141400/0",
            "resumed at 100002/0",
            "interrupted SOFTWARE_INTERRUPT 21 at 141500/0",
            "resumed at 100005/0"),
        recorder.take());
    kernel("0f0b");
    assertEquals(List.of("interrupted EXCEPTION 6 at 140600/0"), recorder.take());
  }

  @Test
  void nestedInterruptsAreToldInTheirOrder() {
    // In the user's interrupt: int 21 ; iretq
    user("90 90" + SYSCALL);
    bare.place(handler(DEVICE), "cd15" + IRETQ);
    bare.place(handler(21), "90" + IRETQ);
    bare.place(SYSTEM_CALL, HLT);
    bare.go(1);
    pin.raised = true;
    goOn();
    assertEquals(
        List.of(
            "begins INTERRUPT 20 at 120001/3",
            "entered INTERRUPT 20 at 141400/0",
            "interrupted SOFTWARE_INTERRUPT 21 at 141500/0",
            "resumed at 141402/0",
            "left at 120001/3",
            "entered SYSTEM_CALL -1 at 130000/0"),
        recorder.take());
  }

  @Test
  void nonMaskableInterruptsAreToldFromUserAndFromKernel() {
    user("90 90" + SYSCALL);
    bare.place(handler(2), IRETQ);
    bare.place(SYSTEM_CALL, "90 90 f4");
    bare.go(1);
    bare.processor.nonMaskable();
    bare.go(4);
    bare.processor.nonMaskable();
    goOn();
    assertEquals(
        List.of(
            "begins NON_MASKABLE 2 at 120001/3",
            "entered NON_MASKABLE 2 at 140200/0",
            "left at 120001/3",
            "entered SYSTEM_CALL -1 at 130000/0",
            "interrupted NON_MASKABLE 2 at 140200/0",
            "resumed at 130001/0"),
        recorder.take());
  }

  @Test
  void aDeliveryThatFaultsIsToldAgainAsTheFaultThatArrives() {
    // The stack of ring 0 is not mapped: #PF, then a double fault, whose gate has another stack.
    bare.memory.writeLong(TSS + 4, 0x60_0000_0000L);
    bare.memory.writeLong(TSS + 36, KERNEL_STACK);
    bare.memory.writeByte(state.idtrBase + 16 * ProcessorException.DOUBLE_FAULT + 4, (byte) 1);
    user("0f0b");
    goOn();
    assertEquals(
        List.of(
            "begins EXCEPTION 6 at 120000/3",
            "begins EXCEPTION 14 at 120000/3",
            "begins EXCEPTION 8 at 120000/3",
            "entered EXCEPTION 8 at 140800/0"),
        recorder.take());
  }

  @Test
  void writesOfCr3AreToldBeforeTheirInvalidation() {
    long before = state.cr3;
    long other = 0x80_0000;
    byte[] root = new byte[4096];
    bare.memory.read(before, root, 0, root.length);
    bare.memory.write(other, root, 0, root.length);
    state.r[Slot.RAX] = other;
    state.r[Slot.RBX] = before;
    // mov cr3, rax ; mov cr3, rbx ; mov cr3, rbx ; mov rcx, cr3 ; hlt
    kernel("0f22d8 0f22db 0f22db 0f20d9 f4");
    String dropped = "translations but global ones";
    assertEquals(
        List.of(
            "CR3 %x to %x".formatted(before, other),
            dropped,
            "CR3 %x to %x".formatted(other, before),
            dropped,
            "CR3 %x to %x".formatted(before, before),
            dropped),
        recorder.take());
  }

  @Test
  void aWriteOfCr3ThatKeepsTranslationsTellsOfNone() {
    state.cr4 |= ControlBits.CR4_PCIDE;
    bare.processor.memory().contextChanged();
    state.r[Slot.RAX] = state.cr3 | 1L << 63 | 5;
    kernel("0f22d8 f4");
    assertEquals(List.of("CR3 %x to %x".formatted(state.cr3 & ~5L, state.cr3)), recorder.take());
    assertEquals(5, state.cr3 & 0xfff);
  }

  @Test
  void aRefusedWriteOfCr3IsNotTold() {
    state.r[Slot.RAX] = 1L << 60;
    kernel("0f22d8 f4");
    assertEquals(List.of("interrupted EXCEPTION 13 at 140d00/0"), recorder.take());
  }

  @Test
  void invalidationsOfPagesAreTold() {
    state.r[Slot.RAX] = DATA + 0x123;
    state.r[Slot.RBX] = 0xffff_8000_0000_0000L;
    // invlpg [rax] ; invlpg [rbx] ; hlt
    kernel("0f0138 0f013b f4");
    assertEquals(List.of("page 200123", "page ffff800000000000"), recorder.take());
  }

  @Test
  void allTypesOfInvpcidAreTold() {
    // invpcid rax, [rbx]
    bare.memory.writeLong(DATA, 0);
    bare.memory.writeLong(DATA + 8, 0x7000);
    state.r[Slot.RBX] = DATA;
    List<String> expected =
        List.of(
            "page 7000",
            "translations but global ones",
            "all translations",
            "translations but global ones");
    for (int type = 0; type < 4; type++) {
      state.r[Slot.RAX] = type;
      kernel("660f388203 f4");
      assertEquals(List.of(expected.get(type)), recorder.take(), "type " + type);
    }
  }

  @Test
  void theSwitchOfGlobalPagesDropsAllTranslations() {
    state.r[Slot.RAX] = state.cr4 & ~ControlBits.CR4_PGE;
    // mov cr4, rax ; hlt
    kernel("0f22e0 f4");
    assertEquals(List.of("all translations"), recorder.take());
  }

  @Test
  void theMarkerIsToldWithOperationAndArgument() {
    state.r[Slot.RAX] = Probes.MARKER_LEAF;
    state.r[Slot.RCX] = 7;
    state.r[Slot.RBX] = 0x1122_3344_5566_7788L;
    // cpuid ; mov eax, 0 ; cpuid ; hlt
    kernel("0fa2 b800000000 0fa2 f4");
    assertEquals(List.of("marked 7 1122334455667788"), recorder.take());
  }

  @Test
  void theMarkerReadsAsALeafBeyondTheHighest() {
    long[][] results = new long[2][];
    int[] leaves = {Probes.MARKER_LEAF, Probes.MARKER_LEAF + 1};
    for (int i = 0; i < 2; i++) {
      state.r[Slot.RAX] = leaves[i];
      state.r[Slot.RCX] = 0;
      kernel("0fa2 f4");
      results[i] =
          new long[] {
            state.r[Slot.RAX], state.r[Slot.RBX], state.r[Slot.RCX], state.r[Slot.RDX],
          };
    }
    assertArrayEquals(results[1], results[0]);
  }

  @Test
  void severalProbesAreToldInTheOrderInWhichTheyWereAdded() {
    List<String> order = new ArrayList<>();
    Probe second =
        new Probe() {
          @Override
          public void marked(Processor processor, int operation, long argument) {
            order.add("second after " + recorder.calls.size());
          }

          @Override
          public void pageInvalidated(Processor processor, long linear) {
            order.add("page after " + recorder.calls.size());
          }
        };
    probes.add(second);
    state.r[Slot.RAX] = Probes.MARKER_LEAF;
    kernel("0fa2 0f0138 f4");
    assertEquals(List.of("second after 1", "page after 2"), order);
    probes.remove(recorder);
    recorder.take();
    state.r[Slot.RAX] = Probes.MARKER_LEAF;
    kernel("0fa2 f4");
    assertEquals(List.of(), recorder.take());
    assertEquals("second after 0", order.getLast());
    probes.remove(second);
    state.r[Slot.RAX] = Probes.MARKER_LEAF;
    kernel("0fa2 0f0138 f4");
    assertEquals(3, order.size());
  }
}
