package dev.ringfence.isolation.monitor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.virtualization.ExitReason;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The kernel accesses memory of a process by its user addresses, at a VM exit of the machine that
 * the process runs, and for the process itself. The monitor is told of the machine by hand.
 */
class OwnUserMemoryTest {
  /** Where {@link SmallGuest#USER} leads. */
  private static final long USER_FRAME = 0x205;

  private static final Provenance GUEST_MEMORY =
      new Provenance(PageKind.GUEST_MEMORY, "", SmallKernel.MM_A, true);

  @TempDir private static Path folder;
  private static Path image = Path.of("");

  @BeforeAll
  static void build() throws IOException, InterruptedException {
    image = SmallGuest.build(folder);
  }

  /**
   * Exits of isolation when the kernel loads from the page at a VM exit, and when it does so in a
   * system call of the process afterwards: {@code 1 and 0}.
   */
  private static String exits(String ownUserMemory, Provenance page) {
    try (SmallGuest guest = new SmallGuest(image)) {
      guest.kernel.set(USER_FRAME, page);
      PolicyRun run =
          guest
              .attach(HandMadePolicy.of("default: nonsensitive", "own-user-memory", ownUserMemory))
              .policies()
              .getFirst();
      Processor processor = guest.machine.processors().getFirst();
      Probe probe = Objects.requireNonNull(processor.observer());
      // Before there is a machine, the page gets into the fast tables.
      processor.memory().load64(SmallGuest.USER);
      probe.machineEntered(processor);
      probe.machineLeft(processor, ExitReason.IO_INSTRUCTION);
      processor.memory().load64(SmallGuest.USER);
      long atMachineExit = run.counts().exits();
      guest.load(SmallGuest.USER).load(SmallGuest.USER).run();
      return atMachineExit + " and " + (run.counts().exits() - atMachineExit);
    }
  }

  @Test
  void whatIsMappedInBothClassesNeverExits() {
    assertEquals("0 and 0", exits("mapped", SmallGuest.ANONYMOUS));
  }

  @Test
  void whatIsMappedInNeitherExitsAtEachAccessAfterAnEnter() {
    assertEquals("1 and 2", exits("unmapped", SmallGuest.ANONYMOUS));
  }

  @Test
  void whatAMachineLacksItsProcessMayHave() {
    String memory = "{userspace: mapped, kvm: unmapped}";
    assertEquals("1 and 0", exits(memory, SmallGuest.ANONYMOUS));
    assertEquals("1 and 0", exits(memory, GUEST_MEMORY));
  }

  @Test
  void whatAProcessLacksItsMachineMayHave() {
    assertEquals("0 and 2", exits("{userspace: unmapped, kvm: mapped}", SmallGuest.ANONYMOUS));
  }

  @Test
  void guestMemoryAloneMayBeThere() {
    String memory = "{userspace: mapped, kvm: guest-memory}";
    assertEquals("0 and 0", exits(memory, GUEST_MEMORY));
    assertEquals("1 and 0", exits(memory, SmallGuest.ANONYMOUS));
  }
}
