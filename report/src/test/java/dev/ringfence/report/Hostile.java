package dev.ringfence.report;

import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.PolicyResult.StackCount;
import dev.ringfence.lab.result.RunResult;
import java.util.List;

/** A run whose kernel has names that try to be more than names. */
final class Hostile {
  /**
   * Ends the block of data, runs as an attribute, is a template of the chart library, breaks lines.
   */
  static final String NAME =
      "</script><script>window.broken=1</script><img src=x onerror=window.broken=2>{b}\u2028\u001b[31m\0\"'&amp;";

  private Hostile() {}

  static RunResult run() {
    RunResult run = ExampleRun.complete();
    PolicyResult policy = run.policies().get(2);
    List<Cause> causes = policy.causes().stream().map(Hostile::rename).toList();
    PolicyResult renamed =
        new PolicyResult(
            NAME,
            NAME,
            NAME,
            NAME,
            policy.metrics(),
            policy.cost(),
            policy.share(),
            policy.costItems().stream()
                .map(item ->
                    new PolicyResult.CostItem(
                        NAME + item.event(),
                        NAME,
                        item.count(),
                        item.each(),
                        item.total(),
                        NAME,
                        NAME))
                .toList(),
            causes,
            policy.stacks().stream()
                .map(stack -> new StackCount(List.of(NAME, NAME, NAME), stack.count()))
                .toList(),
            policy.timeline(),
            policy.exposure().stream()
                .map(e ->
                    new PolicyResult.Exposure(NAME, NAME, NAME, true, e.maximum(), e.average()))
                .toList(),
            policy.map().stream()
                .map(m -> new PolicyResult.MapRegion(NAME, NAME, NAME, m.mapped(), m.peak()))
                .toList(),
            policy.phases());
    return new RunResult(
        run.format(),
        "partial",
        NAME,
        new RunResult.Workload(NAME, NAME, NAME),
        new RunResult.Kernel(NAME, NAME, NAME, List.of(NAME)),
        NAME,
        NAME,
        run.metrics(),
        List.of(new RunResult.EntryCount(NAME, 10)),
        run.cycles(),
        run.cyclesPerInstruction(),
        NAME,
        run.ownFlushes(),
        List.of(run.policies().get(1), renamed),
        ExampleMachines.named(NAME, run.machines()),
        ExampleLeaks.named(NAME),
        List.of(NAME),
        run.manifest());
  }

  private static Cause rename(Cause cause) {
    return new Cause(
        cause.number(),
        NAME,
        List.of(NAME),
        NAME,
        NAME,
        NAME,
        NAME,
        NAME,
        cause.offsets(),
        NAME,
        cause.write(),
        cause.count(),
        cause.cost(),
        cause.share(),
        cause.savedByMapping(),
        cause.exposedByMapping(),
        List.of(NAME),
        NAME);
  }
}
