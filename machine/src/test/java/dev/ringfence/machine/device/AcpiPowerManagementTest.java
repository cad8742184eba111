package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Fixed hardware against ACPI 6.5, section 4.8.3. */
final class AcpiPowerManagementTest {
  private final VirtualClock clock = new VirtualClock();
  private final IoSpace ports = new IoSpace("port");
  private final List<String> events = new ArrayList<>();
  private boolean line;
  private final AcpiPowerManagement power =
      new AcpiPowerManagement(clock, asserted -> line = asserted, new RecordingControl(events));

  @BeforeEach
  void attach() {
    power.attachTo(ports);
  }

  @Test
  void theTimerRunsAt3579545Hertz() {
    clock.setNow(1_000_000_000);
    assertEquals(3_579_545, ports.read(0x608, 4));
    clock.setNow(2_000_000_000_000L);
    assertEquals(3_579_545L * 2000 & 0xffff_ffffL, ports.read(0x608, 4));
  }

  @Test
  void acpiModeIsAlwaysOn() {
    assertEquals(1, ports.read(0x604, 2));
    ports.write(0x604, 2, 0);
    assertEquals(1, ports.read(0x604, 2));
  }

  @Test
  void sleepTypeFiveSwitchesOff() {
    ports.write(0x604, 2, 5 << 10);
    assertEquals(List.of(), events);
    ports.write(0x604, 2, 1 << 13 | 5 << 10);
    assertEquals(List.of("power off"), events);
    assertEquals(5 << 10 | 1, ports.read(0x604, 2));
  }

  @Test
  void otherSleepTypesDoNothing() {
    ports.write(0x604, 2, 1 << 13 | 3 << 10);
    assertEquals(List.of(), events);
  }

  @Test
  void thePowerButtonInterruptsIfEnabled() {
    power.pressPowerButton();
    assertFalse(line);
    assertEquals(0x100, ports.read(0x600, 2));
    ports.write(0x602, 2, 0x100);
    assertTrue(line);
    ports.write(0x600, 2, 0x100);
    assertFalse(line);
    assertEquals(0x0100_0000, ports.read(0x600, 4));
  }

  @Test
  void theTimerEventComesWhenItsHighestBitChanges() {
    ports.write(0x602, 2, 1);
    long change = new Frequency(3_579_545).nanosecondsAt(1L << 31);
    assertEquals(change, clock.nextDeadline());
    clock.setNow(change);
    clock.expire();
    assertTrue(line);
    assertEquals(1, ports.read(0x600, 2));
    ports.write(0x600, 2, 1);
    assertFalse(line);
    assertTrue(clock.nextDeadline() > change);
  }

  @Test
  void bytesOfRegistersCanBeAccessed() {
    ports.write(0x603, 1, 7);
    assertEquals(7, ports.read(0x603, 1));
    assertEquals(0x700, ports.read(0x602, 2));
    ports.write(0x605, 1, 5 << 2);
    assertEquals(5 << 2, ports.read(0x605, 1));
  }

  /** Records what the guest asks of the machine. */
  record RecordingControl(List<String> events) implements MachineControl {
    @Override
    public void powerOff() {
      events.add("power off");
    }

    @Override
    public void reset() {
      events.add("reset");
    }

    @Override
    public void exit(int status) {
      events.add("exit " + status);
    }
  }
}
