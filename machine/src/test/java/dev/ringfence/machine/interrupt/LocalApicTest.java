package dev.ringfence.machine.interrupt;

import static dev.ringfence.machine.interrupt.ApicFixture.COMMAND_LOW;
import static dev.ringfence.machine.interrupt.ApicFixture.DESTINATION_FORMAT;
import static dev.ringfence.machine.interrupt.ApicFixture.END_OF_INTERRUPT;
import static dev.ringfence.machine.interrupt.ApicFixture.ERROR;
import static dev.ringfence.machine.interrupt.ApicFixture.ERROR_STATUS;
import static dev.ringfence.machine.interrupt.ApicFixture.LINT0;
import static dev.ringfence.machine.interrupt.ApicFixture.LINT1;
import static dev.ringfence.machine.interrupt.ApicFixture.LOGICAL_DESTINATION;
import static dev.ringfence.machine.interrupt.ApicFixture.PROCESSOR_PRIORITY;
import static dev.ringfence.machine.interrupt.ApicFixture.SPURIOUS_VECTOR;
import static dev.ringfence.machine.interrupt.ApicFixture.TASK_PRIORITY;
import static dev.ringfence.machine.interrupt.ApicFixture.TIMER;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interrupt.InterruptSource.InvalidRegisterException;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Local APIC against SDM volume 3, chapter 11; sections are named at the tests. */
final class LocalApicTest {
  private static final int SELF = 1 << 18;
  private static final int ALL = 2 << 18;
  private static final int ALL_BUT_SELF = 3 << 18;
  private static final int LOGICAL = 1 << 11;
  private static final int ASSERT = 1 << 14;

  private final ApicFixture fixture = new ApicFixture(4);
  private final LocalApic apic = fixture.apic(0);

  @Test
  void registersHaveTheirResetValues() {
    // Section 11.4.7.1.
    ApicFixture fresh = new ApicFixture(2);
    fresh.apics.forEach(LocalApic::powerOn);
    assertEquals(1 << 24, fresh.read(1, 0x020));
    assertEquals(0x0005_0014, fresh.read(1, 0x030));
    assertEquals(0xff, fresh.read(1, SPURIOUS_VECTOR));
    assertEquals(-1, fresh.read(1, DESTINATION_FORMAT));
    assertEquals(0, fresh.read(1, LOGICAL_DESTINATION));
    for (int register = TIMER; register <= ERROR; register += 0x10) {
      assertEquals(0x1_0000, fresh.read(1, register));
    }
    assertEquals(0xfee0_0900L, fresh.apic(0).base());
    assertEquals(0xfee0_0800L, fresh.apic(1).base());
  }

  @Test
  void interruptsAreDeliveredByPriority() {
    // Section 11.8.3.
    fixture.write(0, COMMAND_LOW, SELF | 0x31);
    fixture.write(0, COMMAND_LOW, SELF | 0x52);
    fixture.write(0, COMMAND_LOW, SELF | 0x41);
    assertEquals(0x52, apic.acknowledge());
    assertEquals(0x50, fixture.read(0, PROCESSOR_PRIORITY));
    assertFalse(apic.hasInterrupt());
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertEquals(0x41, apic.acknowledge());
    fixture.write(0, COMMAND_LOW, SELF | 0x91);
    assertEquals(0x91, apic.acknowledge());
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertEquals(0x40, fixture.read(0, PROCESSOR_PRIORITY));
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertEquals(0x31, apic.acknowledge());
    assertEquals(-1, apic.acknowledge());
  }

  @Test
  void taskPriorityHoldsInterruptsOfItsClassAndBelow() {
    // Section 11.8.3.1.
    fixture.write(0, COMMAND_LOW, SELF | 0x45);
    fixture.write(0, TASK_PRIORITY, 0x40);
    assertFalse(apic.hasInterrupt());
    assertEquals(4, apic.taskPriority());
    fixture.signals.clear();
    apic.setTaskPriority(3);
    assertEquals(0x30, fixture.read(0, TASK_PRIORITY));
    assertTrue(apic.hasInterrupt());
    assertEquals(List.of("0 interrupt"), fixture.signals);
  }

  @Test
  void requestInServiceAndTriggerModeRegistersShowTheVector() {
    // Section 11.8.4: vector 0x65 is bit 5 of the fourth register.
    fixture.write(0, COMMAND_LOW, SELF | 0x65);
    assertEquals(1 << 5, fixture.read(0, 0x230));
    assertEquals(0x65, apic.acknowledge());
    assertEquals(0, fixture.read(0, 0x230));
    assertEquals(1 << 5, fixture.read(0, 0x130));
    fixture.redirect(5, 0x8066);
    fixture.ioApic.set(5, true);
    assertEquals(1 << 6, fixture.read(0, 0x1b0));
  }

  @Test
  void physicalDestinationsReachOneOrAllProcessors() {
    // Section 11.6.2.1.
    fixture.send(0, 2, 0x40);
    assertEquals(List.of(), fixture.drain(1));
    assertEquals(List.of(0x40), fixture.drain(2));
    fixture.send(0, 0xff, 0x41);
    for (int i = 0; i < 4; i++) {
      assertEquals(List.of(0x41), fixture.drain(i));
    }
  }

  @Test
  void flatLogicalDestinationsAreBitMasks() {
    // Section 11.6.2.2.
    for (int i = 0; i < 4; i++) {
      fixture.write(i, LOGICAL_DESTINATION, 1 << 24 + i);
    }
    fixture.send(0, 0b1010, LOGICAL | 0x42);
    assertEquals(List.of(), fixture.drain(0));
    assertEquals(List.of(0x42), fixture.drain(1));
    assertEquals(List.of(), fixture.drain(2));
    assertEquals(List.of(0x42), fixture.drain(3));
  }

  @Test
  void clusterLogicalDestinationsNameAClusterAndItsMembers() {
    // Section 11.6.2.2.
    for (int i = 0; i < 4; i++) {
      fixture.write(i, DESTINATION_FORMAT, 0x0fff_ffff);
      fixture.write(i, LOGICAL_DESTINATION, (i / 2 << 4 | 1 << i % 2) << 24);
    }
    fixture.send(0, 0x12, LOGICAL | 0x42);
    assertEquals(List.of(0x42), fixture.drain(3));
    assertEquals(List.of(), fixture.drain(1));
    fixture.send(0, 0xf1, LOGICAL | 0x43);
    assertEquals(List.of(0x43), fixture.drain(0));
    assertEquals(List.of(0x43), fixture.drain(2));
    assertEquals(List.of(), fixture.drain(3));
  }

  @Test
  void shorthandsNameSelfAllAndOthers() {
    // Table 11-3.
    fixture.write(1, COMMAND_LOW, SELF | 0x50);
    fixture.write(1, COMMAND_LOW, ALL | 0x60);
    fixture.write(1, COMMAND_LOW, ALL_BUT_SELF | 0x70);
    assertEquals(List.of(0x60, 0x50), fixture.drain(1));
    assertEquals(List.of(0x70, 0x60), fixture.drain(0));
    assertEquals(List.of(0x70, 0x60), fixture.drain(3));
  }

  @Test
  void lowestPriorityGoesToTheProcessorWithTheLowestPriority() {
    // Section 11.6.2.4.
    fixture.write(0, TASK_PRIORITY, 0x80);
    fixture.write(1, TASK_PRIORITY, 0x20);
    fixture.write(2, TASK_PRIORITY, 0x10);
    fixture.write(3, SPURIOUS_VECTOR, 0xff);
    fixture.send(0, 0xff, 0x100 | 0x95);
    assertEquals(List.of(0x95), fixture.drain(2));
    assertEquals(List.of(), fixture.drain(0));
    assertEquals(List.of(), fixture.drain(1));
  }

  @Test
  void initAndStartUpReachOtherProcessors() {
    // Section 9.4.4.1, the start-up protocol.
    fixture.write(0, COMMAND_LOW, ALL_BUT_SELF | ASSERT | 0x500);
    assertEquals(List.of("1 INIT", "2 INIT", "3 INIT"), fixture.signals);
    fixture.signals.clear();
    // INIT level de-assert does nothing.
    fixture.send(0, 1, 0x8500);
    fixture.send(0, 1, ASSERT | 0x69a);
    assertEquals(List.of("1 SIPI 9a"), fixture.signals);
  }

  @Test
  void initResetsTheReceiverButKeepsItsIdentifierAndBase() {
    // Section 11.4.7.3.
    fixture.write(1, TASK_PRIORITY, 0x55);
    fixture.write(1, LOGICAL_DESTINATION, 2 << 24);
    fixture.send(0, 1, ASSERT | 0x500);
    assertEquals(0, fixture.read(1, TASK_PRIORITY));
    assertEquals(0, fixture.read(1, LOGICAL_DESTINATION));
    assertEquals(0xff, fixture.read(1, SPURIOUS_VECTOR));
    assertEquals(1 << 24, fixture.read(1, 0x020));
  }

  @Test
  void nonMaskableInterruptsPassEvenASoftwareDisabledApic() {
    // Section 11.4.7.2.
    fixture.write(2, SPURIOUS_VECTOR, 0xff);
    fixture.send(0, 2, 0x400);
    fixture.send(0, 2, 0x45);
    assertEquals(List.of("2 NMI"), fixture.signals);
    assertFalse(fixture.apic(2).hasInterrupt());
  }

  @Test
  void softwareDisableMasksTheLocalVectors() {
    // Section 11.4.7.2.
    fixture.write(0, TIMER, 0x40);
    fixture.write(0, SPURIOUS_VECTOR, 0xff);
    assertEquals(0x1_0040, fixture.read(0, TIMER));
    fixture.write(0, TIMER, 0x41);
    assertEquals(0x1_0041, fixture.read(0, TIMER));
  }

  @Test
  void illegalVectorsAreErrorsThatRaiseTheErrorVector() {
    // Section 11.5.3.
    fixture.write(0, ERROR, 0xfe);
    fixture.write(0, COMMAND_LOW, SELF | 0x0f);
    assertEquals(List.of(0xfe), fixture.drain(0));
    assertEquals(0, fixture.read(0, ERROR_STATUS));
    fixture.write(0, ERROR_STATUS, 0);
    assertEquals(1 << 5, fixture.read(0, ERROR_STATUS));
    fixture.redirect(3, 5);
    fixture.ioApic.set(3, true);
    assertEquals(0, fixture.read(0, 0x3d0));
    fixture.write(0, ERROR_STATUS, 0);
    assertEquals(1 << 6 | 1 << 7, fixture.read(0, ERROR_STATUS));
    fixture.write(0, ERROR_STATUS, 0);
    assertEquals(0, fixture.read(0, ERROR_STATUS));
  }

  @Test
  void lint0InExternalModeTakesTheVectorOfThePic() {
    // Section 11.5.1, delivery mode ExtINT.
    fixture.write(0, LINT0, 0x700);
    for (int value : new int[] {0x11, 0x20, 0x04, 0x01, 0xfe}) {
      fixture.ports.write(value == 0x11 ? 0x20 : 0x21, 1, value);
    }
    fixture.signals.clear();
    fixture.pic.set(0, true);
    assertEquals(List.of("0 interrupt"), fixture.signals);
    assertTrue(apic.hasInterrupt());
    assertFalse(fixture.apic(1).hasInterrupt());
    assertEquals(0x20, apic.acknowledge());
    assertFalse(apic.hasInterrupt());
  }

  @Test
  void aDisabledApicPassesThePicToTheBootstrapProcessorOnly() throws InvalidRegisterException {
    // Section 11.4.3.
    for (int i = 0; i < 2; i++) {
      fixture.apic(i).setBase(fixture.apic(i).base() & ~0x800L);
    }
    fixture.ports.write(0x20, 1, 0x11);
    fixture.ports.write(0x21, 1, 0x30);
    fixture.ports.write(0x21, 1, 0x04);
    fixture.ports.write(0x21, 1, 0x01);
    fixture.pic.set(1, true);
    assertFalse(fixture.apic(1).hasInterrupt());
    assertEquals(0x31, apic.acknowledge());
    assertEquals(-1, fixture.read(0, 0x020));
  }

  @Test
  void lint1DeliversNmiOnItsRisingEdge() {
    fixture.write(0, LINT1, 0x400);
    apic.setLint1(true);
    apic.setLint1(true);
    apic.setLint1(false);
    apic.setLint1(true);
    assertEquals(List.of("0 NMI", "0 NMI"), fixture.signals);
  }

  @Test
  void aLevelSensitiveLocalPinRepeatsUntilItFalls() {
    // Figure 11-8: remote IRR of LINT0 and LINT1.
    fixture.write(0, LINT1, 0x8055);
    apic.setLint1(true);
    assertEquals(0xc055, fixture.read(0, LINT1));
    assertEquals(0x55, apic.acknowledge());
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertEquals(0x55, apic.acknowledge());
    apic.setLint1(false);
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertFalse(apic.hasInterrupt());
    assertEquals(0x8055, fixture.read(0, LINT1));
  }

  @Test
  void performanceInterruptsMaskTheirVector() {
    fixture.write(0, 0x340, 0x400);
    apic.performanceMonitoringInterrupt();
    apic.performanceMonitoringInterrupt();
    assertEquals(List.of("0 NMI"), fixture.signals);
    assertEquals(0x1_0400, fixture.read(0, 0x340));
  }

  @Test
  void writesToMessageAddressesAreInterrupts() {
    // Section 11.11.
    fixture.bus.sendMemoryWrite(0xfee0_3000L, 0x77);
    assertEquals(List.of(0x77), fixture.drain(3));
    fixture.memory.write(0xfee0_2000L, 4, 0x78);
    assertEquals(List.of(0x78), fixture.drain(2));
    fixture.write(1, LOGICAL_DESTINATION, 4 << 24);
    fixture.bus.sendMemoryWrite(0xfee0_4004L, 0x79);
    assertEquals(List.of(0x79), fixture.drain(1));
  }

  @Test
  void registersAnswerAlignedAccessesOnly() {
    // Section 11.4.1.
    fixture.write(0, TASK_PRIORITY + 4, 0x50);
    assertEquals(0, fixture.read(0, TASK_PRIORITY));
    assertEquals(0, fixture.read(0, 0x020 + 4));
    fixture.accessing = 1;
    assertEquals(1, fixture.memory.read(LocalApic.DEFAULT_BASE + 0x23, 1));
  }

  @Test
  void thePageFollowsItsBaseForOneProcessor() throws InvalidRegisterException {
    // Section 11.4.5.
    apic.setBase(0x1_2340_0000L | 0x900);
    assertEquals(-1, fixture.read(0, 0x030));
    assertEquals(0x0005_0014, (int) fixture.memory.read(0x1_2340_0030L, 4));
    assertEquals(0x0005_0014, fixture.read(1, 0x030));
    assertEquals(-1, (int) fixture.memory.read(0x1_2340_0030L, 4));
  }

  @Test
  void reservedBitsOfTheBaseAreRefused() {
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(1L << 46 | 0x900));
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(0xfee0_0901L));
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(0xfee0_0a00L));
  }

  @Test
  void x2ApicModeIsEnteredAndLeftAsTheStateDiagramSays() throws InvalidRegisterException {
    // Figure 11-27.
    assertThrows(InvalidRegisterException.class, () -> apic.readX2Apic(0x802));
    apic.setBase(0xfee0_0d00L);
    assertEquals(-1, fixture.read(0, 0x020));
    assertEquals(0, apic.readX2Apic(0x802));
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(0xfee0_0900L));
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(0xfee0_0500L));
    apic.setBase(0xfee0_0100L);
    assertThrows(InvalidRegisterException.class, () -> apic.setBase(0xfee0_0d00L));
    apic.setBase(0xfee0_0900L);
    assertEquals(0x0005_0014, fixture.read(0, 0x030));
  }

  @Test
  void x2ApicRegistersAreModelSpecificRegisters() throws InvalidRegisterException {
    // Table 11-6.
    ApicFixture large = new ApicFixture(20);
    LocalApic one = large.apic(17);
    one.setBase(0xfee0_0c00L);
    assertEquals(17, one.readX2Apic(0x802));
    assertEquals(1 << 16 | 1 << 1, one.readX2Apic(0x80d));
    one.writeX2Apic(0x80f, 0x1ff);
    one.writeX2Apic(0x83f, 0x44);
    assertEquals(0x44, one.acknowledge());
    one.writeX2Apic(0x80b, 0);
    assertFalse(one.hasInterrupt());
    for (int msr : new int[] {0x800, 0x80e, 0x831, 0x840, 0x8ff, 0x80b, 0x83f}) {
      assertThrows(InvalidRegisterException.class, () -> one.readX2Apic(msr), "MSR " + msr);
    }
    assertThrows(InvalidRegisterException.class, () -> one.writeX2Apic(0x802, 1));
    assertThrows(InvalidRegisterException.class, () -> one.writeX2Apic(0x80b, 1));
    assertThrows(InvalidRegisterException.class, () -> one.writeX2Apic(0x828, 1));
    assertThrows(InvalidRegisterException.class, () -> one.writeX2Apic(0x808, 0x100));
    one.writeX2Apic(0x828, 0);
  }

  @Test
  void x2ApicCommandsHave32BitDestinations() throws InvalidRegisterException {
    // Section 11.12.9 and 11.12.10.
    for (LocalApic each : fixture.apics) {
      each.setBase(each.base() | 0x400);
    }
    apic.writeX2Apic(0x830, 2L << 32 | 0x45);
    assertEquals(0x45, fixture.apic(2).acknowledge());
    apic.writeX2Apic(0x830, 0b1010L << 32 | LOGICAL | 0x46);
    assertEquals(0x46, fixture.apic(1).acknowledge());
    assertEquals(0x46, fixture.apic(3).acknowledge());
    assertFalse(apic.hasInterrupt());
    apic.writeX2Apic(0x830, 0xffff_ffffL << 32 | 0x57);
    assertEquals(0x57, apic.acknowledge());
    assertEquals(0xffff_ffff_0000_0057L, apic.readX2Apic(0x830));
  }

  @Test
  void virtualWireModeIsWhatFirmwareLeaves() {
    ApicFixture fresh = new ApicFixture(1);
    fresh.apic(0).powerOn();
    fresh.apic(0).enterVirtualWireMode();
    assertEquals(0x1ff, fresh.read(0, SPURIOUS_VECTOR));
    assertEquals(0x700, fresh.read(0, LINT0));
    assertEquals(0x400, fresh.read(0, LINT1));
  }
}
