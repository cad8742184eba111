package dev.ringfence.lab.result;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.ringfence.lab.run.Manifest;
import java.util.List;

/**
 * All that came out of a run: the content of {@code run.json}.
 *
 * @param format version of this description
 * @param state {@code complete}, or {@code partial} with the reason
 * @param reason why it is partial, else empty
 * @param workload what ran
 * @param kernel what it ran on
 * @param cpuModel processor model of the machine
 * @param costModel name of the model, or of the file, that costs come from
 * @param metrics figures of the guest, which are equal under all policies
 * @param entries kernel entries by reason, most frequent first
 * @param cycles the workload's own cycles: instructions times {@code cyclesPerInstruction}
 * @param cyclesPerInstruction stated, with its source in {@code cyclesSource}
 * @param ownFlushes what the kernel flushed of its own accord, which policies do not count
 * @param policies one for each policy of the run
 * @param machines virtual machines that ran in the region of interest, and in each of its phases
 * @param leaks which attacks leak on the processor model under these policies
 * @param notes what a reader must know to read the figures right
 * @param manifest all that determines the run
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record RunResult(
    int format,
    String state,
    String reason,
    Workload workload,
    Kernel kernel,
    String cpuModel,
    String costModel,
    List<Metric> metrics,
    List<EntryCount> entries,
    Range cycles,
    Range cyclesPerInstruction,
    String cyclesSource,
    OwnFlushes ownFlushes,
    List<PolicyResult> policies,
    List<VirtualMachine> machines,
    LeakMatrix leaks,
    List<String> notes,
    Manifest manifest) {
  public static final int FORMAT = 5;

  /** The same result with what attacks came to, which is found out after the workload has run. */
  public RunResult with(LeakMatrix matrix) {
    return new RunResult(
        format,
        state,
        reason,
        workload,
        kernel,
        cpuModel,
        costModel,
        metrics,
        entries,
        cycles,
        cyclesPerInstruction,
        cyclesSource,
        ownFlushes,
        policies,
        machines,
        matrix,
        notes,
        manifest);
  }

  /**
   * What ran.
   *
   * @param name of the workload, or of the initramfs
   * @param description for people
   * @param command that the guest's shell ran, or empty
   */
  public record Workload(String name, String description, String command) {}

  /**
   * The kernel.
   *
   * @param release as {@code uname -r} prints it
   * @param banner its version string
   * @param commandLine of the kernel
   * @param mitigations which of its own mitigations were on, one line each
   */
  public record Kernel(
      String release, String banner, String commandLine, List<String> mitigations) {}

  /**
   * What the kernel flushed of its own accord: its own mitigations at work.
   *
   * @param counts of each kind that there was
   * @param costItems what their cost consists of
   * @param cost cycles of all
   * @param share {@code cost} as a fraction of the workload's own cycles
   */
  public record OwnFlushes(
      List<FlushCount> counts, List<PolicyResult.CostItem> costItems, Range cost, Range share) {
    /** It flushed nothing. */
    public static final OwnFlushes NONE =
        new OwnFlushes(List.of(), List.of(), Range.NOTHING, Range.NOTHING);
  }

  /**
   * Kernel entries of one reason.
   *
   * @param reason {@code system call read}, {@code interrupt 236}, {@code exception page fault}
   * @param count in the region of interest
   */
  public record EntryCount(String reason, long count) {}
}
