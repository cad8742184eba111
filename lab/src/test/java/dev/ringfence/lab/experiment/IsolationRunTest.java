package dev.ringfence.lab.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.FlushCount;
import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.MetricNames;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.result.VirtualMachine;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.workload.PreparedWorkload;
import dev.ringfence.lab.workload.Workload;
import dev.ringfence.lab.workload.WorkloadPreparation;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.translate.TranslationMode;
import java.io.OutputStream;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Debian's kernel under policies of isolation, audited at every enter. */
@Tag("slow")
@Execution(ExecutionMode.CONCURRENT)
final class IsolationRunTest {
  /** Files, processes, pipes and a failing program, small enough to be audited in a minute. */
  private static final String WORKLOAD =
      """
      name: small
      title: A little of everything
      description: For tests.
      disk: 16M
      phases: [files, processes]
      command: |
        set -eu
        mke2fs -F /dev/vda >/dev/null
        mkdir /data
        mount -t ext4 /dev/vda /data
        head -c 20000 /.ringfence/busybox >/data/file
        ringfence-mark begin
        ringfence-mark phase-begin files
        for i in 1 2 3; do cat /data/file >/data/copy; done
        ringfence-mark phase-end files
        ringfence-mark phase-begin processes
        seq 1 50 | sort -r | head -n 3
        ringfence-mark phase-end processes
        ringfence-mark end
      """;

  /** For kernels whose ext4 is a module: a file in the page cache of a file system without disk. */
  private static final String WITHOUT_DISK =
      """
      name: without-disk
      title: Reads of a file
      description: For tests.
      command: |
        set -eu
        mkdir /data
        mount -t ramfs ramfs /data
        head -c 20000 /.ringfence/busybox >/data/file
        ringfence-mark begin
        md5sum /data/file
        ringfence-mark end
      """;

  /** Work of two processes that is on two processors at once, and pages that go between them. */
  private static final String TWO_PROCESSORS =
      """
      name: two-processors
      title: Two processes at once
      description: For tests.
      cpus: 2
      command: |
        set -eu
        ringfence-mark begin
        for i in 1 2 3; do cat /proc/self/maps /proc/meminfo /proc/stat >/tmp/first$i; done &
        for i in 1 2 3; do seq 1 300 | sort -r >/tmp/second$i; done
        wait
        cat /tmp/first1 /tmp/second1 | md5sum
        rm /tmp/first* /tmp/second*
        ringfence-mark end
      """;

  /** A virtual machine on the kernel's own KVM. */
  private static final String VIRTUAL_MACHINE =
      """
      name: virtual-machine
      title: VM exits
      description: For tests.
      modules: [kvm_intel]
      programs: [vm-exits.c]
      phases: [cpuid, msr, hlt, port, mmio, ept, interrupt]
      command: vm-exits 200
      """;

  private static final int ROUNDS = 12;

  /** Two virtual machines that take turns, under each setting of KVM's own flush. */
  private static final String TWO_TENANTS =
      """
      name: tenants
      title: Two virtual machines
      description: For tests.
      modules: [kvm_intel]
      programs: [two-tenants.c]
      phases: [l1d-never, l1d-cond, l1d-always]
      command: two-tenants %d
      """
          .formatted(ROUNDS);

  /** Nanoseconds; another length than that of a run's steps, because that must not matter. */
  private static final long STEP_WITHOUT_ISOLATION = 3_700_001;

  private static final long MOST_INSTRUCTIONS = 10_000_000_000L;
  @TempDir private Path folder;

  private static PreparedWorkload prepare(String append) {
    return prepare(WORKLOAD, null, append);
  }

  private static PreparedWorkload prepare(
      String workload, @Nullable String kernelMetapackage, String append) {
    return prepare(Workload.parse(workload, "small.yaml", null), kernelMetapackage, append);
  }

  static PreparedWorkload prepare(
      Workload workload, @Nullable String kernelMetapackage, String append) {
    GuestCache cache = GuestCache.ofUser();
    GuestPreparation preparation = new GuestPreparation(cache, line -> {});
    Path kernel = kernelMetapackage == null ? null : preparation.kernel(kernelMetapackage);
    return new WorkloadPreparation(cache, preparation, line -> {})
        .prepare(workload, kernel, append, false);
  }

  private static RunResult run(PreparedWorkload prepared, List<String> policies, boolean audit) {
    return run(prepared, policies, audit, null);
  }

  static RunResult run(
      PreparedWorkload prepared,
      List<String> policies,
      boolean audit,
      @Nullable BootSnapshots snapshots) {
    Experiment experiment =
        new Experiment(
            "small",
            "For tests.",
            prepared.guest(),
            prepared.request(),
            prepared.configuration(),
            prepared.workload().phases(),
            false,
            prepared.workload().maximumInstructions(),
            policies.stream().map(Policy::load).toList(),
            CostModel.load(CostModel.DEFAULT),
            audit,
            false);
    OutputStream nowhere = OutputStream.nullOutputStream();
    IsolationRun.Outcome outcome =
        new IsolationRun(experiment, nowhere, nowhere, progress -> {}, snapshots).execute("test");
    assertEquals("complete", outcome.result().state(), outcome.result().reason());
    return outcome.result();
  }

  /** What the guest came to: it must be the same under all policies and with none. */
  static String guest(RunResult result) {
    return "%s instructions, console %s, memory %s"
        .formatted(
            value(result.metrics(), MetricNames.INSTRUCTIONS),
            value(result.metrics(), MetricNames.CONSOLE_SHA256),
            value(result.metrics(), MetricNames.MEMORY_SHA256));
  }

  private static Object value(List<Metric> metrics, String name) {
    return metrics.stream()
        .filter(metric -> metric.name().equals(name))
        .findFirst()
        .orElseThrow(() -> new AssertionError("no metric " + name))
        .value();
  }

  static long count(List<Metric> metrics, String name) {
    return ((Number) value(metrics, name)).longValue();
  }

  private static PolicyResult policy(RunResult result, String name) {
    return result.policies().stream()
        .filter(policy -> policy.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  private static String withoutIsolation(PreparedWorkload prepared) {
    return withoutIsolation(prepared, TranslationMode.ON);
  }

  private static String withoutIsolation(PreparedWorkload prepared, TranslationMode mode) {
    try (Machine machine = new Machine(prepared.configuration().withTranslation(mode))) {
      prepared.guest().loadInto(machine);
      OutputStream nowhere = OutputStream.nullOutputStream();
      GuestSession session =
          new GuestSession(
              machine, prepared.guest().assignment(), Long.MAX_VALUE, nowhere, nowhere, false);
      while (session.advance(STEP_WITHOUT_ISOLATION).isEmpty()) {
        assertTrue(machine.instructions() < MOST_INSTRUCTIONS, "the guest ends");
      }
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      return "%s instructions, console %s, memory %s"
          .formatted(
              machine.instructions(),
              session.result("end", 0).consoleSha256(),
              HexFormat.of().formatHex(digest.digest()));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  @Test
  void virtualMachinesRunOnStockKvm() {
    PreparedWorkload prepared = prepare(VIRTUAL_MACHINE, null, Experiment.WITHOUT_MITIGATIONS);
    RunResult result = run(prepared, Policy.builtIn(), true);
    Map<String, Long> entries =
        result.entries().stream()
            .collect(Collectors.toMap(RunResult.EntryCount::reason, RunResult.EntryCount::count));
    assertEquals(200, entries.get("VM exit CPUID"));
    assertEquals(200, entries.get("VM exit RDMSR"));
    assertEquals(200, entries.get("VM exit HLT"));
    // Each phase ends with an OUT.
    assertEquals(200 + 7, entries.get("VM exit I/O instruction"));
    assertTrue(entries.get("VM exit EPT violation") >= 200, entries.toString());
    assertTrue(entries.get("VM exit external interrupt") > 0, entries.toString());
    // What the kernel needs to answer CPUID is nothing that a deny-list of user data hides.
    PolicyResult.Phase cpuid = policy(result, "google-2025").phases().getFirst();
    assertTrue(cpuid.exits() < 20, cpuid.toString());
    List<Metric> metrics = policy(result, "google-2025").metrics();
    long restricted = count(metrics, "events.vm-exit-restricted");
    // All but first stores to pages, which clear one that is a user's, and loads from where no
    // memory is, whose instruction KVM reads by a user address, which class KVM does not map.
    long handled = count(metrics, "events.vm-exit") - 200 - 200;
    assertTrue(Math.abs(restricted - handled) < 20, restricted + " of " + handled);
    assertEquals(0, count(policy(result, "kpti").metrics(), "events.vm-exit-restricted"));
    assertEquals(withoutIsolation(prepared), guest(result));
  }

  @Test
  @Tag("long")
  void tenantsAreToldApartAndKvmFlushesAsItIsSet() {
    PreparedWorkload prepared = prepare(TWO_TENANTS, null, Experiment.WITHOUT_MITIGATIONS);
    RunResult result = run(prepared, Policy.builtIn(), true);
    for (String tenant : List.of("tenant-a", "tenant-b")) {
      for (String phase : prepared.workload().phases()) {
        VirtualMachine machine = machine(result, tenant, phase);
        assertEquals(8 * ROUNDS, exits(machine, "CPUID").count());
        assertEquals(ROUNDS, exits(machine, "RDMSR").count());
        assertEquals(ROUNDS, exits(machine, "HLT").handedOver());
        // The last one says that the rounds are done.
        assertEquals(ROUNDS + 1, exits(machine, "I/O instruction").handedOver());
        assertEquals(
            machine.all().count(),
            machine.reasons().stream().mapToLong(VirtualMachine.Exits::count).sum());
      }
      // Documentation/admin-guide/hw-vuln/l1tf.rst: at no VM entry, at those after code that may
      // have brought in secrets, at all of them. The first entry of a phase follows no exit in it.
      long always = flushes(machine(result, tenant, "l1d-always"));
      long entries = machine(result, tenant, "l1d-always").all().count();
      assertEquals(0, flushes(machine(result, tenant, "l1d-never")));
      assertTrue(Math.abs(entries - always) <= 1, always + " of " + entries);
      long sometimes = flushes(machine(result, tenant, "l1d-cond"));
      assertTrue(sometimes > ROUNDS && sometimes < always / 2, sometimes + " of " + always);
    }
    // The processor goes from one tenant to the other, which leaves the L1 data cache to be
    // flushed.
    long google =
        machine(result, "tenant-a", "").all().policies().stream()
            .filter(policy -> policy.policy().equals("google-2025"))
            .mapToLong(policy -> policy.exits() + policy.exitsInUserMode())
            .findFirst()
            .orElseThrow();
    assertTrue(google > ROUNDS, "exits of isolation: " + google);
    assertEquals(withoutIsolation(prepared, TranslationMode.OFF), guest(result));
  }

  private static VirtualMachine machine(RunResult result, String process, String phase) {
    return result.machines().stream()
        .filter(machine -> machine.process().equals(process) && machine.phase().equals(phase))
        .findFirst()
        .orElseThrow();
  }

  private static VirtualMachine.Exits exits(VirtualMachine machine, String reason) {
    return machine.reasons().stream()
        .filter(exits -> exits.reason().equals(reason))
        .findFirst()
        .orElseThrow();
  }

  private static long flushes(VirtualMachine machine) {
    return machine.all().ownFlushes().stream()
        .filter(flush -> flush.event().equals("l1d-flush"))
        .mapToLong(FlushCount::count)
        .sum();
  }

  @Test
  void theGuestCannotTellAndPoliciesTogetherCountAsTheyDoAlone() {
    PreparedWorkload prepared = prepare(Experiment.WITHOUT_MITIGATIONS);
    String guest = withoutIsolation(prepared);
    RunResult together = run(prepared, Policy.builtIn(), true);
    assertEquals(guest, guest(together));
    assertTrue(count(together.metrics(), "audit.enters") > 1_000);
    assertTrue(count(together.metrics(), "audit.leaves") > 100_000);
    for (String name : List.of("google-2025", "google-2022")) {
      RunResult alone = run(prepared, List.of(name), false);
      assertEquals(guest, guest(alone));
      assertEquals(policy(together, name).metrics(), policy(alone, name).metrics());
      assertEquals(policy(together, name).causes(), policy(alone, name).causes());
    }
    check(together);
  }

  private static void check(RunResult result) {
    long entries = count(result.metrics(), "region.entries");
    assertEquals(0, count(policy(result, "none").metrics(), MetricNames.EXITS));
    // Page-table isolation leaves at each entry; the first of the region came before it.
    long kpti = count(policy(result, "kpti").metrics(), MetricNames.EXITS);
    assertTrue(Math.abs(entries - kpti) <= 1, kpti + " exits of kpti, " + entries + " entries");
    long google = count(policy(result, "google-2025").metrics(), MetricNames.EXITS);
    long mermap = count(policy(result, "google-2025-mermap").metrics(), MetricNames.EXITS);
    assertTrue(google < entries && mermap < google, google + " and " + mermap);
    // Files are copied through the page cache, and pages for processes are cleared.
    assertTrue(
        policy(result, "google-2025").causes().stream()
            .anyMatch(cause -> cause.kind().equals("page-cache")));
    assertTrue(
        policy(result, "google-2025").causes().stream()
            .anyMatch(cause -> cause.function().startsWith("clear_page")));
    assertEquals(
        List.of("files", "processes"),
        policy(result, "kpti").phases().stream().map(PolicyResult.Phase::name).toList());
  }

  @Test
  @Tag("long")
  void aRunFromASnapshotOfTheBootedGuestCountsAsTheOneThatBooted() {
    PreparedWorkload prepared = prepare(Experiment.WITHOUT_MITIGATIONS);
    BootSnapshots snapshots = new BootSnapshots(new GuestCache(folder), false, "test", line -> {});
    RunResult booted = run(prepared, Policy.builtIn(), false, snapshots);
    RunResult resumed = run(prepared, Policy.builtIn(), false, snapshots);
    assertNull(booted.manifest().bootSnapshot());
    assertNotNull(resumed.manifest().bootSnapshot());
    assertEquals(booted.metrics(), resumed.metrics());
    assertEquals(booted.policies(), resumed.policies());
    assertEquals(booted.manifest(), resumed.manifest().startedFrom(null));
  }

  @Test
  @Tag("long")
  void aKernelWithItsOwnPageTableIsolationIsAuditedToo() {
    RunResult result = run(prepare("pti=on"), Policy.builtIn(), true);
    assertTrue(count(result.metrics(), "audit.enters") > 1_000);
    long entries = count(result.metrics(), "region.entries");
    long exits = count(policy(result, "google-2025").metrics(), MetricNames.EXITS);
    assertTrue(exits > 0 && exits < entries, exits + " of " + entries);
  }

  @Test
  @Tag("long")
  void twoProcessorsAreAuditedAndTheGuestCannotTell() {
    PreparedWorkload prepared = prepare(TWO_PROCESSORS, null, Experiment.WITHOUT_MITIGATIONS);
    assertEquals(2, prepared.configuration().processors());
    String guest = withoutIsolation(prepared);
    RunResult result = run(prepared, Policy.builtIn(), true);
    assertEquals(guest, guest(result));
    assertTrue(count(result.metrics(), "audit.enters") > 1_000);
    long entries = count(result.metrics(), "region.entries");
    long exits = count(policy(result, "google-2025").metrics(), MetricNames.EXITS);
    assertTrue(exits > 0 && exits < entries, exits + " of " + entries);
  }

  @Test
  @Tag("long")
  void debiansGenericKernelIsReadAndAuditedToo() {
    RunResult result =
        run(
            prepare(WITHOUT_DISK, GuestPreparation.GENERIC_KERNEL, Experiment.WITHOUT_MITIGATIONS),
            List.of("google-2025"),
            true);
    assertFalse(result.kernel().release().contains("cloud"), result.kernel().release());
    assertTrue(count(result.metrics(), "audit.enters") > 100);
    PolicyResult google = policy(result, "google-2025");
    // Files are copied through the page cache, by functions that a stack leads to.
    assertTrue(
        google.causes().stream()
            .anyMatch(cause ->
                cause.data().equals("page-cache /file")
                    && cause.entry().startsWith("system call ")
                    && cause.callSite().contains("filemap_read")),
        google.causes().toString());
    for (PolicyResult.Cause cause : google.causes()) {
      PolicyResult.Offsets offsets = cause.offsets();
      if (cause.data().equals("page-cache /file")) {
        assertEquals(new PolicyResult.Offsets(0, 16384, 0), offsets, cause.toString());
      } else if (cause.kind().equals("slab")) {
        assertTrue(
            offsets.lowest() >= 0 && offsets.highest() < offsets.objectSize(), cause.toString());
      }
    }
  }
}
