package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.cost.Figure;
import dev.ringfence.isolation.monitor.Auditor;
import dev.ringfence.isolation.monitor.EntryReason;
import dev.ringfence.isolation.monitor.ExposureSampler;
import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.LinuxKernel;
import dev.ringfence.isolation.monitor.PolicyRun;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.MetricNames;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.result.VirtualMachine;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.Machine;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Makes the result of a run from what was counted. */
final class ResultBuilder {
  private final Experiment experiment;
  private final Machine machine;
  private final KernelView kernel;
  private final IsolationMonitor monitor;
  private final ExposureSampler sampler;
  private final IsolationRun.Marks marks;
  private final @Nullable Auditor auditor;

  ResultBuilder(
      Experiment experiment,
      Machine machine,
      KernelView kernel,
      IsolationMonitor monitor,
      ExposureSampler sampler,
      IsolationRun.Marks marks,
      @Nullable Auditor auditor) {
    this.experiment = experiment;
    this.machine = machine;
    this.kernel = kernel;
    this.monitor = monitor;
    this.sampler = sampler;
    this.marks = marks;
    this.auditor = auditor;
  }

  /**
   * The result.
   *
   * @param reason why it is partial; empty if it is complete
   */
  RunResult build(String reason, Manifest manifest, String consoleSha256) {
    Figure perInstruction = experiment.costs().cyclesPerInstruction();
    Range cyclesPerInstruction = new Range(perInstruction.low(), perInstruction.high());
    Range cycles = cyclesPerInstruction.times((double) marks.region().instructions());
    Pricing pricing = new Pricing(experiment.costs(), cyclesPerInstruction);
    List<PolicyResult> policies = new ArrayList<>();
    List<PolicyRun> runs = monitor.policies();
    for (int i = 0; i < runs.size(); i++) {
      policies.add(
          new PolicyResultBuilder(experiment, kernel, monitor, sampler, marks, i, pricing).build());
    }
    return new RunResult(
        RunResult.FORMAT,
        reason.isEmpty() ? "complete" : "partial",
        reason,
        new RunResult.Workload(
            experiment.name(),
            experiment.description(),
            experiment.request().command() == null ? "" : experiment.request().command()),
        kernelInformation(),
        experiment.configuration().cpuModel(),
        experiment.costs().name(),
        metrics(consoleSha256),
        entries(),
        cycles,
        cyclesPerInstruction,
        perInstruction.source(),
        ownFlushes(pricing),
        policies,
        machines(pricing),
        LeakMatrix.leftOut(
            experiment.configuration().cpuModel(), "none was run with this workload"),
        notes(),
        manifest);
  }

  private RunResult.OwnFlushes ownFlushes(Pricing pricing) {
    EventCounts flushes = marks.region().ownFlushes();
    Range cost = pricing.price(flushes);
    return new RunResult.OwnFlushes(
        VirtualMachineBuilder.flushes(flushes),
        pricing.items(flushes),
        cost,
        pricing.share(cost, marks.region().instructions()));
  }

  private List<VirtualMachine> machines(Pricing pricing) {
    VirtualMachineBuilder builder = new VirtualMachineBuilder(experiment.policies(), pricing);
    List<VirtualMachine> machines =
        new ArrayList<>(builder.build("", marks.region().machineExits()));
    for (int i = 0; i < experiment.phases().size(); i++) {
      machines.addAll(
          builder.build(experiment.phases().get(i), marks.phases().get(i).machineExits()));
    }
    return machines;
  }

  private RunResult.Kernel kernelInformation() {
    String banner = "";
    String release = "";
    if (kernel instanceof LinuxKernel linux) {
      banner = linux.running().banner();
      release = linux.running().image().release();
    }
    return new RunResult.Kernel(
        release, banner, experiment.guest().commandLine(), Mitigations.of(experiment, kernel));
  }

  private List<Metric> metrics(String consoleSha256) {
    List<Metric> metrics = new ArrayList<>();
    metrics.add(
        new Metric(
            MetricNames.INSTRUCTIONS,
            "instructions",
            "Instructions that the guest executed from power-on to its end.",
            machine.instructions()));
    metrics.add(
        new Metric(
            "guest.nanoseconds",
            "nanoseconds",
            "Virtual time from power-on to the guest's end; idle time included.",
            machine.nanoseconds()));
    metrics.add(
        new Metric(
            MetricNames.CONSOLE_SHA256,
            "hex",
            "SHA-256 of all bytes that the guest wrote to its console.",
            consoleSha256));
    metrics.add(
        new Metric(
            MetricNames.MEMORY_SHA256,
            "hex",
            "SHA-256 of the guest's memory at its end.",
            memorySha256()));
    metrics.add(
        new Metric(
            "region.instructions",
            "instructions",
            "Instructions in the region of interest, which all counts of policies are of.",
            marks.region().instructions()));
    metrics.add(
        new Metric(
            "region.nanoseconds",
            "nanoseconds",
            "Virtual time of the region of interest.",
            marks.region().endOfLast() - marks.region().beginOfFirst()));
    metrics.add(
        new Metric(
            "region.entries",
            "events",
            "Entries of the kernel from user mode in the region of interest.",
            entryCount()));
    metrics.add(
        new Metric(
            "exposure.samples",
            "events",
            "Looks at what user code could reach, evenly spaced in virtual time.",
            sampler.samples()));
    if (auditor != null) {
      metrics.add(
          new Metric(
              "audit.enters",
              "events",
              "Enters at which a policy's restricted tables and the TLB were audited; no violation.",
              auditor.audits()));
      metrics.add(
          new Metric(
              "audit.leaves",
              "events",
              "Mappings of restricted tables that were compared with the kernel's.",
              auditor.leaves()));
      metrics.add(
          new Metric(
              "audit.unflushed",
              "events",
              "Of these, mappings that the kernel had taken out and not yet flushed from the TLBs.",
              auditor.unflushed()));
      metrics.add(
          new Metric(
              "audit.translations",
              "events",
              "Translations held by TLBs that were looked up in restricted tables.",
              auditor.translations()));
    }
    return metrics;
  }

  private String memorySha256() {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  private long entryCount() {
    return monitor.entries().values().stream().mapToLong(Long::longValue).sum();
  }

  private List<RunResult.EntryCount> entries() {
    return monitor.entries().entrySet().stream()
        .sorted(Map.Entry.<Integer, Long>comparingByValue(Comparator.reverseOrder()))
        .map(entry ->
            new RunResult.EntryCount(
                EntryReason.text(entry.getKey(), kernel::systemCall), entry.getValue()))
        .toList();
  }

  private List<String> notes() {
    List<String> notes = new ArrayList<>();
    String standIn = experiment.costs().note();
    if (!standIn.isEmpty()) {
      notes.add(standIn);
    }
    notes.add(
        "Costs are those of %s (%s)."
            .formatted(experiment.costs().name(), experiment.costs().title()));
    notes.add(
        "Costs are counted events times the cycles of one, both bounds apart. Effects that no event"
            + " counts, such as slower code with less cache or fewer predictions, are not in them,"
            + " except where a cost item says so.");
    notes.add(
        "The kernel is not modified: memory that a kernel made for a policy would place apart lies"
            + " together here. Where that matters, the policy's description says in which direction.");
    if (!(kernel instanceof LinuxKernel)) {
      notes.add(
          "The kernel could not be read (no kallsyms or BTF): causes and exposure are not known.");
    }
    return notes;
  }
}
