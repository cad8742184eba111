package dev.ringfence.lab.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.workload.PreparedWorkload;
import dev.ringfence.lab.workload.Workload;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;

/**
 * The shipped workloads whose guest has a guest, with less to do: Debian's kernel boots on Debian's
 * QEMU and KVM and ends cleanly, and comes to the same with isolation, audited at every enter, as
 * without. Both runs of a workload go on from one snapshot of the outer guest. Only the boot is
 * there by {@code ./ringfence test --long}; {@code RINGFENCE_ALL_WORKLOADS=1} adds all.
 */
@Tag("slow")
final class InnerGuestsTest {
  /** Runs a shipped workload, changed in places, with a policy; returns its VM exits by reason. */
  private static Map<String, Long> exits(String workload, Map<String, String> changes) {
    String text = shipped(workload);
    for (Map.Entry<String, String> change : changes.entrySet()) {
      assertTrue(text.contains(change.getKey()), change.getKey());
      text = text.replace(change.getKey(), change.getValue());
    }
    PreparedWorkload prepared =
        IsolationRunTest.prepare(
            Workload.parse(text, workload + ".yaml", null), null, Experiment.WITHOUT_MITIGATIONS);
    BootSnapshots snapshots = new BootSnapshots(GuestCache.ofUser(), false, "test", line -> {});
    RunResult isolated = IsolationRunTest.run(prepared, List.of("google-2025"), true, snapshots);
    RunResult alone = IsolationRunTest.run(prepared, List.of("none"), false, snapshots);
    assertEquals(IsolationRunTest.guest(alone), IsolationRunTest.guest(isolated));
    assertTrue(IsolationRunTest.count(isolated.metrics(), "audit.enters") > 1_000);
    return isolated.entries().stream()
        .filter(entry -> entry.reason().startsWith("VM exit "))
        .collect(
            Collectors.toMap(
                entry -> entry.reason().substring("VM exit ".length()),
                RunResult.EntryCount::count));
  }

  private static String shipped(String workload) {
    try (InputStream in = Workload.class.getResourceAsStream(workload + ".yaml")) {
      return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static void assertExits(Map<String, Long> exits, String reason, long least) {
    assertTrue(exits.getOrDefault(reason, 0L) >= least, reason + " in " + exits);
  }

  @Test
  @Tag("long")
  void aKernelBootsOnDebiansQemu() {
    Map<String, Long> exits = exits("vm-boot", Map.of());
    // Firmware and kernel ask for the processor's features, and print on a serial port.
    assertExits(exits, "CPUID", 100);
    assertExits(exits, "I/O instruction", 1_000);
    assertExits(exits, "EPT violation", 100);
    assertExits(exits, "HLT", 1);
  }

  @Test
  @EnabledIfEnvironmentVariable(named = "RINGFENCE_ALL_WORKLOADS", matches = "1")
  void redisServesWithoutManyExits() {
    Map<String, Long> exits = exits("vm-redis", Map.of("-n 3000", "-n 300", "-n 500", "-n 50"));
    assertExits(exits, "external interrupt", 1);
    assertTrue(exits.values().stream().mapToLong(Long::longValue).sum() < 2_000, exits::toString);
  }

  @Test
  @EnabledIfEnvironmentVariable(named = "RINGFENCE_ALL_WORKLOADS", matches = "1")
  void eachRequestToAVirtioDiskExits() {
    long requests = 100;
    Map<String, Long> exits =
        exits(
            "vm-fio",
            Map.of(
                "number_ios=2000\n",
                "number_ios=" + requests + "\n",
                "number_ios=200\n",
                "number_ios=20\n"));
    // Notifications are stores to a page without memory behind it; the device may want some fewer.
    assertExits(exits, "EPT misconfiguration", 2 * requests * 9 / 10);
  }
}
