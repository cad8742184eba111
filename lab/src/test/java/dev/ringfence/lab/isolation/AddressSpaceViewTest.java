package dev.ringfence.lab.isolation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/**
 * What a view does with the fast tables leaves no trace in the guest, to the last bit of memory.
 */
@Tag("slow")
@Execution(ExecutionMode.CONCURRENT)
final class AddressSpaceViewTest {
  private static final long MEMORY = 256L << 20;
  private static final long INSTRUCTIONS = 700_000_000;
  private static final long SEED = 20261124;

  private static final PreparedGuest GUEST =
      new GuestPreparation(GuestCache.ofUser(), line -> {})
          .prepare(GuestRequest.ofCommand("ls -lR /sys /proc >/dev/null; seq 1 1000"));

  /** Forgets at random, at random moments; says nothing lasts half of the time. */
  private static final class Forgetful implements Probe {
    private final SplittableRandom random = new SplittableRandom(SEED);
    private long asked;
    private long entries;

    void attach(Machine machine) {
      machine.probes().add(this);
      for (Processor processor : machine.processors()) {
        processor
            .memory()
            .setView((linear, access, mapping) -> {
              asked++;
              if (random.nextInt(1000) == 0) {
                processor.memory().withdraw(linear + 4096L * random.nextInt(-8, 8));
              }
              return random.nextBoolean();
            });
      }
    }

    @Override
    public void kernelEntered(Processor processor, Entry entry, int vector) {
      entries++;
    }

    @Override
    public void kernelLeft(Processor processor) {
      if (random.nextInt(50) == 0) {
        processor.memory().withdrawAll();
      }
      processor.memory().restrict();
    }
  }

  private static String outcome(Forgetful view) {
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      GUEST.loadInto(machine);
      if (view != null) {
        view.attach(machine);
      }
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS));
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      return "%d instructions, %d ns, memory %s"
          .formatted(
              machine.instructions(),
              machine.nanoseconds(),
              HexFormat.of().formatHex(digest.digest()));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  @Test
  @Tag("long")
  void aForgetfulViewLeavesNoTraceInTheGuest() {
    Forgetful view = new Forgetful();
    assertEquals(outcome(null), outcome(view), () -> "seed " + SEED + " (AddressSpaceViewTest)");
    assertTrue(view.asked > 100_000, () -> "asked " + view.asked);
    assertTrue(view.entries > 1000, () -> "entries " + view.entries);
  }
}
