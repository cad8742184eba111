package dev.ringfence.isolation.monitor;

import static dev.ringfence.isolation.monitor.SmallGuest.CACHE;
import static dev.ringfence.isolation.monitor.SmallGuest.FRAME;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.virtualization.ExitReason;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What happens from VM exits to the next entries; the monitor is told of machines by hand. */
class MachineExitsTest {
  private static final Policy POLICY =
      HandMadePolicy.of(
          "default: nonsensitive, rules: [{kind: page-cache, disposition: sensitive}]",
          "on-interrupt",
          "exit-and-resume",
          "on-context-switch",
          "exit");

  @TempDir private static Path folder;
  private static Path image = Path.of("");
  private SmallGuest guest;
  private IsolationMonitor monitor;
  private Processor processor;
  private Probe probe;

  @BeforeAll
  static void build() throws IOException, InterruptedException {
    image = SmallGuest.build(folder);
  }

  @BeforeEach
  void attach() {
    guest = new SmallGuest(image);
    guest.kernel.set(FRAME + 1, CACHE);
    monitor = guest.attach(Policy.load("none"), POLICY);
    processor = guest.machine.processors().getFirst();
    probe = Objects.requireNonNull(processor.observer());
    probe.machineEntered(processor);
  }

  @AfterEach
  void close() {
    guest.close();
  }

  private MachineExits.Tally tally(int exitReason) {
    MachineExits.Key key =
        new MachineExits.Key(KernelView.GuestProcess.UNKNOWN, EntryReason.ofMachine(exitReason));
    return Objects.requireNonNull(monitor.machineExits().tallies().get(key), key.toString());
  }

  private static String counts(MachineExits.Tally tally) {
    MachineExits.UnderPolicy policy = tally.policies().get(1);
    return "%d exits, %d handed over, %d restricted, %d and %d exits of isolation"
        .formatted(
            tally.exits(),
            tally.handedOver(),
            policy.restricted(),
            policy.inKernel().exits(),
            policy.inUserMode().exits());
  }

  @Test
  void whatTheKernelHandlesRestrictedIsCountedByReason() {
    for (int reason : List.of(ExitReason.CPUID, ExitReason.RDMSR, ExitReason.CPUID)) {
      probe.machineLeft(processor, reason);
      probe.machineEntered(processor);
    }
    assertEquals(
        "2 exits, 0 handed over, 2 restricted, 0 and 0 exits of isolation",
        counts(tally(ExitReason.CPUID)));
    assertEquals(
        "1 exits, 0 handed over, 1 restricted, 0 and 0 exits of isolation",
        counts(tally(ExitReason.RDMSR)));
    assertEquals(3, monitor.policies().get(1).counts().get(Event.VM_EXIT_RESTRICTED));
    assertEquals(0, monitor.policies().get(0).counts().get(Event.VM_EXIT_RESTRICTED));
  }

  @Test
  void anExitOfIsolationBelongsToTheVirtualMachinesExitBeforeIt() {
    probe.machineLeft(processor, ExitReason.CPUID);
    probe.kernelInterrupted(processor, Probe.Entry.INTERRUPT, 0xec);
    probe.kernelResumed(processor);
    probe.machineEntered(processor);
    // Between the entry and the next exit there is nothing that it could belong to.
    probe.kernelInterrupted(processor, Probe.Entry.INTERRUPT, 0xec);
    assertEquals(
        "1 exits, 0 handed over, 0 restricted, 1 and 0 exits of isolation",
        counts(tally(ExitReason.CPUID)));
    assertEquals(2, monitor.policies().get(1).counts().exits());
  }

  @Test
  void whatTheProcessDoesIsCountedApart() {
    probe.machineLeft(processor, ExitReason.IO_INSTRUCTION);
    // Returns to user mode first; the last step stops the guest in the kernel.
    guest.loadFrame(FRAME + 1).loadFrame(FRAME + 1).run();
    probe.machineEntered(processor);
    probe.machineLeft(processor, ExitReason.IO_INSTRUCTION);
    assertEquals(
        "2 exits, 1 handed over, 1 restricted, 0 and 2 exits of isolation",
        counts(tally(ExitReason.IO_INSTRUCTION)));
  }

  @Test
  void flushesOfTheKernelsOwnAreCountedOnceForAllPolicies() {
    probe.flushed(processor, Probe.Flush.L1_DATA);
    probe.machineLeft(processor, ExitReason.CPUID);
    probe.flushed(processor, Probe.Flush.L1_DATA);
    probe.flushed(processor, Probe.Flush.BUFFERS);
    probe.machineEntered(processor);
    assertEquals("l1d-flush 1, verw 1", tally(ExitReason.CPUID).own().toString());
    assertEquals("l1d-flush 2, verw 1", monitor.ownFlushes().toString());
    assertEquals(0, monitor.policies().get(1).counts().get(Event.L1D_FLUSH));
  }

  @Test
  void stretchesAreDifferencesAndAddUp() {
    probe.machineLeft(processor, ExitReason.CPUID);
    probe.machineEntered(processor);
    MachineExits first = monitor.machineExits().copy();
    probe.machineLeft(processor, ExitReason.CPUID);
    probe.machineEntered(processor);
    probe.machineLeft(processor, ExitReason.HLT);
    MachineExits second = monitor.machineExits().since(first);
    List<Long> counts = second.tallies().values().stream().map(MachineExits.Tally::exits).toList();
    assertEquals(List.of(1L, 1L), counts);
    assertEquals(
        List.of(2L, 1L),
        first.plus(second).tallies().values().stream().map(MachineExits.Tally::exits).toList());
  }
}
