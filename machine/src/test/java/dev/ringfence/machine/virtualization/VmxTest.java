package dev.ringfence.machine.virtualization;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.translate.TranslationMode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class VmxTest {
  private static final String HLT = "f4";
  private static final String CPUID = "0fa2";
  private static final String VMXON_DATA = "f30fc7342500002000";
  private static final int EPT_VIOLATION_LINEAR = 1 << 7 | 1 << 8;

  private static BareHost host() {
    return new BareHost(TranslationMode.OFF);
  }

  @Test
  void vmxonNeedsCr4AndFeatureControlAndItsRevision() {
    try (BareProcessor bare = new BareProcessor()) {
      bare.memory.writeLong(BareProcessor.DATA, BareHost.REGION);
      bare.run(VMXON_DATA + HLT);
      assertEquals(ProcessorException.INVALID_OPCODE, bare.raised());
      bare.state.cr4 |= ControlBits.CR4_VMXE;
      bare.run(VMXON_DATA + HLT);
      assertEquals(ProcessorException.GENERAL_PROTECTION, bare.raised());
      ModelSpecificRegisters.write(bare.processor, 0x3a, 5);
      bare.run(VMXON_DATA + HLT);
      assertEquals(Flags.CF, bare.state.statusFlags(), "no revision");
      int revision = (int) ModelSpecificRegisters.read(bare.processor, 0x480) & 0x7fffffff;
      bare.memory.writeInt(BareHost.REGION, revision);
      bare.run(VMXON_DATA + HLT);
      assertEquals(0, bare.state.statusFlags());
      assertTrue(bare.processor.vmx().on());
      bare.run(VMXON_DATA + HLT);
      assertEquals(Flags.CF, bare.state.statusFlags(), "VMXON again, without a current VMCS");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"0f01c1", "0f01c2", "0f01c3", "0f01c4", "0f78c0", "0f79c0"})
  void outsideVmxOperationInstructionsAreUndefined(String hex) {
    try (BareProcessor bare = new BareProcessor()) {
      bare.run(hex + HLT);
      assertEquals(ProcessorException.INVALID_OPCODE, bare.raised());
    }
  }

  @Test
  void allFieldsHoldWhatTheirWidthAllows() {
    try (BareHost host = host()) {
      for (VmcsField field : VmcsField.values()) {
        if (!field.readOnly()) {
          host.set(field, 0x8123456789abcdefL);
          assertEquals(0x8123456789abcdefL & field.mask(), host.get(field), field.toString());
        }
      }
    }
  }

  @Test
  void fieldsThatDoNotExistOrTellOfExitsAreRefused() {
    try (BareHost host = host()) {
      // VMWRITE RAX, RCX.
      host.bare.state.r[Slot.RAX] = 0x2c04;
      host.bare.run("0f79c1" + HLT);
      assertEquals(Flags.ZF, host.bare.state.statusFlags());
      assertEquals(12, host.get(VmcsField.INSTRUCTION_ERROR));
      host.bare.state.r[Slot.RAX] = VmcsField.EXIT_REASON.encoding();
      host.bare.run("0f79c1" + HLT);
      assertEquals(Flags.ZF, host.bare.state.statusFlags());
      assertEquals(13, host.get(VmcsField.INSTRUCTION_ERROR));
      // The high half of a field of 64 bits.
      host.set(VmcsField.TSC_OFFSET, 0x1111222233334444L);
      host.bare.state.r[Slot.RCX] = VmcsField.TSC_OFFSET.encoding() | 1;
      host.bare.run("0f78c8" + HLT);
      assertEquals(0x11112222, host.bare.state.r[Slot.RAX]);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = TranslationMode.class,
      names = {"OFF", "FORCED"})
  void realModeGuestExitsForHltAndGoesOn(TranslationMode mode) {
    try (BareHost host = new BareHost(mode)) {
      // MOV AX, 1234H; MOV [2000H], AX; HLT; INC AX; HLT.
      assertEquals(ExitReason.HLT, host.launch("b83412 a30020 f4 40 f4"));
      assertEquals(1, host.get(VmcsField.EXIT_INSTRUCTION_LENGTH));
      assertEquals(BareHost.CODE + 6, host.get(VmcsField.GUEST_RIP));
      assertEquals(0x1234, host.readGuest(0x2000) & 0xffff);
      assertEquals(ExitReason.HLT, host.resumeBehind());
      assertEquals(0x1235, host.bare.state.r[Slot.RAX] & 0xffff);
      assertTrue(host.bare.state.longMode());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = TranslationMode.class,
      names = {"OFF", "FORCED"})
  void instructionsThatExitInAnyCase(TranslationMode mode) {
    try (BareHost host = new BareHost(mode)) {
      host.longMode();
      assertEquals(ExitReason.CPUID, host.launch(CPUID + "0f01c1" + "0f08" + HLT));
      assertEquals(2, host.get(VmcsField.EXIT_INSTRUCTION_LENGTH));
      assertEquals(ExitReason.VMCALL, host.resumeBehind());
      assertEquals(ExitReason.INVD, host.resumeBehind());
      assertEquals(ExitReason.HLT, host.resumeBehind());
    }
  }

  /**
   * Observers hear of an entry and of an exit, and both times the host's page tables are in use.
   */
  private static void assertObserved(BareHost host, int expected) {
    List<String> told = new ArrayList<>();
    host.bare.processor.setProbe(
        new Probe() {
          @Override
          public void machineEntered(Processor processor) {
            told.add("entered from " + Long.toHexString(processor.state().cr3));
          }

          @Override
          public void machineLeft(Processor processor, int reason) {
            told.add("left by " + reason + " to " + Long.toHexString(processor.state().cr3));
          }
        });
    String cr3 = Long.toHexString(host.bare.state.cr3);
    host.launch(HLT);
    assertEquals(List.of("entered from " + cr3, "left by " + expected + " to " + cr3), told);
  }

  @Test
  void observersHearOfAnEntryWhileTheHostsStateIsThere() {
    try (BareHost host = host()) {
      host.longMode();
      assertObserved(host, 12);
    }
  }

  /** SDM section 27.8: such an entry ends as an exit does. IA32_FS_BASE must not be in the list. */
  @Test
  void observersHearOfAnEntryThatFailsToLoadRegisters() {
    try (BareHost host = host()) {
      host.set(VmcsField.ENTRY_MSR_LOAD_COUNT, 1);
      host.set(VmcsField.ENTRY_MSR_LOAD_ADDRESS, BareHost.IO_BITMAPS);
      host.bare.memory.writeLong(BareHost.IO_BITMAPS, 0xc000_0100L);
      assertObserved(host, 34);
    }
  }

  @Test
  void portsExitWithTheirQualification() {
    try (BareHost host = host()) {
      // OUT 70H, AL; MOV DX, 3F8H; IN EAX, DX (66H).
      assertEquals(ExitReason.IO_INSTRUCTION, host.launch("e670 baf803 66ed f4"));
      assertEquals(0x70L << 16 | 1 << 6, host.get(VmcsField.EXIT_QUALIFICATION));
      assertEquals(ExitReason.IO_INSTRUCTION, host.resumeBehind());
      assertEquals(0x3f8L << 16 | 1 << 3 | 3, host.get(VmcsField.EXIT_QUALIFICATION));
    }
  }

  @Test
  void portBitmapsDecide() {
    try (BareHost host = host()) {
      host.forbid(VmcsField.PRIMARY_CONTROLS, Controls.UNCONDITIONAL_IO_EXITING);
      host.allow(VmcsField.PRIMARY_CONTROLS, Controls.USE_IO_BITMAPS);
      host.bare.memory.writeByte(BareHost.IO_BITMAPS + (0x71 >> 3), (byte) (1 << (0x71 & 7)));
      assertEquals(ExitReason.IO_INSTRUCTION, host.launch("e670 e671 f4"));
      assertEquals(BareHost.CODE + 2, host.get(VmcsField.GUEST_RIP));
    }
  }

  @Test
  void accessesThatExtendedTablesForbidExit() {
    try (BareHost host = host()) {
      host.setExtended(0x3000, host.extended(0x3000) & ~2L);
      // MOV AX, [3000H]; MOV [3000H], AX.
      assertEquals(ExitReason.EPT_VIOLATION, host.launch("a10030 a30030 f4"));
      assertEquals(BareHost.CODE + 3, host.get(VmcsField.GUEST_RIP));
      assertEquals(0x3000, host.get(VmcsField.GUEST_PHYSICAL_ADDRESS));
      assertEquals(EPT_VIOLATION_LINEAR | 5 << 3 | 2, host.get(VmcsField.EXIT_QUALIFICATION));
      host.setExtended(0x3000, host.extended(0x3000) | 2);
      assertEquals(ExitReason.HLT, host.resume(), "a violation keeps no translation");
    }
  }

  @Test
  void malformedExtendedEntriesAreMisconfigurations() {
    try (BareHost host = host()) {
      host.setExtended(0x3000, host.extended(0x3000) & ~1L);
      assertEquals(ExitReason.EPT_MISCONFIGURATION, host.launch("a10030 f4"));
      assertEquals(0x3000, host.get(VmcsField.GUEST_PHYSICAL_ADDRESS));
      // Undefined by the SDM; KVM steps over the instruction by it.
      assertEquals(3, host.get(VmcsField.EXIT_INSTRUCTION_LENGTH));
      host.setExtended(0x3000, host.extended(0x3000) | 1 | 7 << 3);
      assertEquals(ExitReason.EPT_MISCONFIGURATION, host.resume(), "reserved memory type");
    }
  }

  @Test
  void extendedTablesSetAccessedAndDirtyBitsWhereThePointerSaysSo() {
    try (BareHost host = host()) {
      host.allow(VmcsField.EPT_POINTER, 1 << 6);
      assertEquals(ExitReason.HLT, host.launch("a10030 a30040 f4"));
      assertEquals(1 << 8, host.extended(0x3000) & 3 << 8);
      assertEquals(3 << 8, host.extended(0x4000) & 3 << 8);
    }
  }

  @Test
  void tablesOfTheGuestAreReachedThroughExtendedTables() {
    try (BareHost host = host()) {
      host.longMode();
      host.setExtended(BareHost.GUEST_TABLES + 0x1000, 0);
      assertEquals(ExitReason.EPT_VIOLATION, host.launch(HLT));
      assertEquals(
          BareHost.GUEST_TABLES + 0x1000, host.get(VmcsField.GUEST_PHYSICAL_ADDRESS) & ~0xfffL);
      assertEquals(0, host.get(VmcsField.EXIT_QUALIFICATION) & 1 << 8, "not the page itself");
    }
  }

  @Test
  void invalidatedTranslationsAreNotUsed() {
    try (BareHost host = host()) {
      assertEquals(ExitReason.HLT, host.launch("a10030 f4 a10030 f4"));
      host.setExtended(0x3000, 0);
      host.vmx.invalidateExtended(1, host.get(VmcsField.EPT_POINTER), 0);
      host.succeeded();
      assertEquals(ExitReason.EPT_VIOLATION, host.resumeBehind());
    }
  }

  @Test
  void exceptionsExitAsTheBitmapSays() {
    try (BareHost host = host()) {
      host.longMode();
      host.set(VmcsField.EXCEPTION_BITMAP, 1 << ProcessorException.INVALID_OPCODE | 1 << 3);
      assertEquals(ExitReason.EXCEPTION_OR_NMI, host.launch("0f0b cc f4"));
      assertEquals(0x80000306L, host.get(VmcsField.EXIT_INTERRUPTION_INFORMATION), "#UD, hardware");
      host.set(VmcsField.GUEST_RIP, BareHost.CODE + 2);
      assertEquals(ExitReason.EXCEPTION_OR_NMI, host.resume());
      assertEquals(0x80000603L, host.get(VmcsField.EXIT_INTERRUPTION_INFORMATION), "#BP, software");
      assertEquals(1, host.get(VmcsField.EXIT_INSTRUCTION_LENGTH));
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void pageFaultsExitByMaskAndMatch(boolean bit) {
    try (BareHost host = host()) {
      host.longMode();
      host.set(VmcsField.EXCEPTION_BITMAP, bit ? 1 << 14 : 0);
      // Exits if the error code's W bit is set, or, with the bit of the bitmap clear, if it is not.
      host.set(VmcsField.PAGE_FAULT_ERROR_MASK, 2);
      host.set(VmcsField.PAGE_FAULT_ERROR_MATCH, 2);
      // Load and store at 4 MiB, which is not mapped; handlers would meet a gate that is not there.
      String load = "48a10000400000000000";
      String store = "48a30000400000000000";
      assertEquals(ExitReason.EXCEPTION_OR_NMI, host.launch(bit ? store : load));
      assertEquals(0x80000b0eL, host.get(VmcsField.EXIT_INTERRUPTION_INFORMATION));
      assertEquals(bit ? 2 : 0, host.get(VmcsField.EXIT_INTERRUPTION_ERROR_CODE));
      assertEquals(0x40_0000, host.get(VmcsField.EXIT_QUALIFICATION));
      assertNotEquals(0x40_0000, host.bare.state.cr2, "CR2 is the guest's to find out");
    }
  }

  @Test
  void guestWithoutHandlersShutsDown() {
    try (BareHost host = host()) {
      host.longMode();
      assertEquals(ExitReason.TRIPLE_FAULT, host.launch("0f0b"));
    }
  }

  /** An interrupt gate of the guest, whose handler is one HLT at 5000H. */
  private static void gate(BareHost host, int vector) {
    host.bare.place(BareHost.GUEST_MEMORY + 0x5000, HLT);
    host.writeGuest(BareHost.GUEST_IDT + 16L * vector, 0x5000 | 8L << 16 | 0x8e00L << 32);
    host.writeGuest(BareHost.GUEST_IDT + 16L * vector + 8, 0);
  }

  @Test
  void entriesInjectEvents() {
    try (BareHost host = host()) {
      host.longMode();
      gate(host, 0x40);
      host.set(VmcsField.GUEST_RFLAGS, Flags.ALWAYS_SET | Flags.IF);
      host.set(VmcsField.ENTRY_INTERRUPTION_INFORMATION, 0x80000040L);
      assertEquals(ExitReason.HLT, host.launch(HLT));
      assertEquals(0x5000, host.get(VmcsField.GUEST_RIP));
      assertEquals(BareHost.CODE, host.readGuest(host.get(VmcsField.GUEST_RSP)));
      assertEquals(0, host.get(VmcsField.ENTRY_INTERRUPTION_INFORMATION) & 0x80000000L);
    }
  }

  @Test
  void exitsInTheMiddleOfADeliveryTellOfTheEvent() {
    try (BareHost host = host()) {
      host.longMode();
      gate(host, 14);
      host.setExtended(BareHost.GUEST_STACK - 0x1000, 0);
      host.set(VmcsField.ENTRY_INTERRUPTION_INFORMATION, 0x80000b0eL);
      host.set(VmcsField.ENTRY_EXCEPTION_ERROR_CODE, 2);
      assertEquals(ExitReason.EPT_VIOLATION, host.launch(HLT));
      assertEquals(0x80000b0eL, host.get(VmcsField.IDT_VECTORING_INFORMATION));
      assertEquals(2, host.get(VmcsField.IDT_VECTORING_ERROR_CODE));
      assertEquals(BareHost.CODE, host.get(VmcsField.GUEST_RIP));
    }
  }

  @Test
  void interruptWindowOpensWithTheFlag() {
    try (BareHost host = host()) {
      host.allow(VmcsField.PRIMARY_CONTROLS, Controls.INTERRUPT_WINDOW_EXITING);
      // STI; NOP; NOP.
      assertEquals(ExitReason.INTERRUPT_WINDOW, host.launch("fb9090f4"));
      assertEquals(BareHost.CODE + 2, host.get(VmcsField.GUEST_RIP), "after STI's shadow");
    }
  }

  @Test
  void preemptionTimerEndsALoop() {
    try (BareHost host = host()) {
      host.allow(VmcsField.PIN_BASED_CONTROLS, Controls.ACTIVATE_PREEMPTION_TIMER);
      host.set(VmcsField.PREEMPTION_TIMER, 100);
      assertEquals(ExitReason.PREEMPTION_TIMER, host.launch("ebfe"));
    }
  }

  @Test
  void registersThatTheHostOwnsReadAsTheirShadows() {
    try (BareHost host = host()) {
      host.longMode();
      host.set(VmcsField.CR4_MASK, ControlBits.CR4_VMXE);
      host.set(VmcsField.CR4_SHADOW, 0);
      // MOV RAX, CR4; MOV CR4, RAX; OR EAX, 2000H; MOV CR4, RAX.
      assertEquals(ExitReason.CONTROL_REGISTER, host.launch("0f20e0 0f22e0 0d00200000 0f22e0 f4"));
      assertEquals(4, host.get(VmcsField.EXIT_QUALIFICATION), "MOV to CR4 from RAX");
      assertEquals(BareHost.CODE + 11, host.get(VmcsField.GUEST_RIP));
      assertNotEquals(0, host.get(VmcsField.GUEST_CR4) & ControlBits.CR4_VMXE);
    }
  }

  @Test
  void msrBitmapsDecide() {
    try (BareHost host = host()) {
      host.longMode();
      host.allow(VmcsField.PRIMARY_CONTROLS, Controls.USE_MSR_BITMAPS);
      // Writes of IA32_LSTAR exit, reads do not.
      host.bare.memory.writeByte(
          BareHost.MSR_BITMAPS + 3072 + (0x82 >> 3), (byte) (1 << (0x82 & 7)));
      // MOV ECX, C0000082H; RDMSR; WRMSR.
      assertEquals(ExitReason.WRMSR, host.launch("b9820000c0 0f32 0f30 f4"));
    }
  }

  @Test
  void timeStampsAreOffset() {
    try (BareHost host = host()) {
      host.longMode();
      host.allow(VmcsField.PRIMARY_CONTROLS, Controls.USE_TSC_OFFSETTING);
      host.set(VmcsField.TSC_OFFSET, 1L << 40);
      assertEquals(ExitReason.HLT, host.launch("0f31 f4"));
      assertEquals(1 << 8, host.bare.state.r[Slot.RDX]);
    }
  }

  @Test
  void unsupportedControlsAndBadHostsAreErrors() {
    try (BareHost host = host()) {
      host.allow(VmcsField.PRIMARY_CONTROLS, 1 << 27);
      assertEquals(7, host.failingLaunch(), "monitor trap flag");
      host.forbid(VmcsField.PRIMARY_CONTROLS, 1 << 27);
      host.set(VmcsField.HOST_CS_SELECTOR, 0);
      assertEquals(8, host.failingLaunch());
      host.set(VmcsField.HOST_CS_SELECTOR, 8);
      host.launch(HLT);
      assertEquals(4, host.failingLaunch(), "VMLAUNCH of what is launched");
    }
  }

  /** SDM section 27.3.1: each change alone makes the entry fail with reason 33. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "GUEST_CR0 0x80000010", // NE clear
        "GUEST_CR4 0x20", // VMXE clear
        "GUEST_CR3 0x8000000000000000",
        "GUEST_RFLAGS 0", // bit 1
        "GUEST_RFLAGS 0x8002", // bit 15
        "GUEST_CS_ACCESS_RIGHTS 0xe09b", // L and D
        "GUEST_CS_ACCESS_RIGHTS 0xa01b", // not present
        "GUEST_TR_ACCESS_RIGHTS 0x83", // 16-bit TSS
        "GUEST_TR_ACCESS_RIGHTS 0x10000",
        "GUEST_TR_SELECTOR 4", // TI
        "GUEST_FS_BASE 0x0000800000000000",
        "GUEST_DS_LIMIT 0xfffff000",
        "GUEST_GDTR_LIMIT 0x10000",
        "GUEST_IDTR_BASE 0x0000800000000000",
        "GUEST_RIP 0x0000800000000000",
        "GUEST_EFER 0x400", // LMA without LME
        "GUEST_EFER 0x502", // reserved bit
        "GUEST_ACTIVITY 2",
        "GUEST_INTERRUPTIBILITY 3",
        "GUEST_INTERRUPTIBILITY 1", // blocking by STI while IF is clear
        "VMCS_LINK_POINTER 0",
      })
  void guestStateIsChecked(String change) {
    try (BareHost host = host()) {
      host.longMode();
      String[] words = change.split(" ");
      host.set(
          VmcsField.valueOf(words[0]),
          Long.parseUnsignedLong(
              words[1].substring(words[1].startsWith("0x") ? 2 : 0),
              words[1].startsWith("0x") ? 16 : 10));
      assertEquals(ExitReason.INVALID_GUEST_STATE | 1 << 31, host.launch(HLT));
    }
  }
}
