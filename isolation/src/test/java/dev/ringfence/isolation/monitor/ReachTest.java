package dev.ringfence.isolation.monitor;

import static dev.ringfence.isolation.monitor.SmallGuest.CACHE;
import static dev.ringfence.isolation.monitor.SmallGuest.FRAME;
import static dev.ringfence.isolation.monitor.SmallGuest.SLAB;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.paging.TranslationInspector.Outcome;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the tables map on which the processor runs, for accesses that are never made. */
class ReachTest {
  @TempDir private static Path folder;

  /** What a user's load of the slab and of the page cache comes to at each enter. */
  private static List<List<Outcome>> atEachEnter(Policy policy)
      throws IOException, InterruptedException {
    List<List<Outcome>> outcomes = new ArrayList<>();
    try (SmallGuest guest = new SmallGuest(SmallGuest.build(folder))) {
      guest.kernel.set(FRAME, SLAB);
      guest.kernel.set(FRAME + 1, CACHE);
      guest.nothing().loadFrame(FRAME + 1);
      IsolationMonitor monitor = guest.attach(policy);
      monitor.add(
          new IsolationMonitor.RunListener() {
            @Override
            public void entered(Processor processor) {
              outcomes.add(
                  List.of(inspect(guest, processor, FRAME), inspect(guest, processor, FRAME + 1)));
            }
          });
      guest.run();
    }
    return outcomes;
  }

  private static Outcome inspect(SmallGuest guest, Processor processor, long frame) {
    int privilege = processor.state().cpl;
    processor.state().cpl = 3;
    Outcome outcome = processor.memory().inspector().inspect(guest.kernel.directMap(frame), 0);
    processor.state().cpl = privilege;
    return outcome;
  }

  @Test
  void whatIsSensitiveIsHiddenWhileTheProcessorIsRestricted()
      throws IOException, InterruptedException {
    // The slab is mapped ahead though nothing has touched it. The first enter comes before the
    // kernel
    // reads the page cache, the second after it.
    assertEquals(
        Collections.nCopies(3, List.of(Outcome.DENIED, Outcome.HIDDEN)),
        atEachEnter(Policy.load("google-2025")));
  }

  @Test
  void askingCountsNothing() throws IOException, InterruptedException {
    // As SmallGuestTest has it without questions: the second system call exits.
    String counts;
    try (SmallGuest guest = new SmallGuest(SmallGuest.build(folder))) {
      guest.kernel.set(FRAME + 1, CACHE);
      guest.nothing().loadFrame(FRAME + 1);
      IsolationMonitor monitor = guest.attach(Policy.load("google-2025"));
      guest.run();
      counts = monitor.policies().getFirst().counts().toString();
    }
    try (SmallGuest guest = new SmallGuest(SmallGuest.build(folder))) {
      guest.kernel.set(FRAME + 1, CACHE);
      guest.nothing().loadFrame(FRAME + 1);
      IsolationMonitor monitor = guest.attach(Policy.load("google-2025"));
      monitor.add(
          new IsolationMonitor.RunListener() {
            @Override
            public void entered(Processor processor) {
              assertEquals(Outcome.HIDDEN, inspect(guest, processor, FRAME + 1));
            }
          });
      guest.run();
      assertEquals(counts, monitor.policies().getFirst().counts().toString());
    }
  }

  @Test
  void whatIsNotMappedAheadIsHiddenUntilItIsTouched() throws IOException, InterruptedException {
    assertEquals(
        Collections.nCopies(3, List.of(Outcome.HIDDEN, Outcome.HIDDEN)),
        atEachEnter(Policy.load("oracle-kvm")));
  }
}
