package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.CostLine;
import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.monitor.Datum;
import dev.ringfence.isolation.monitor.EntryReason;
import dev.ringfence.isolation.monitor.ExitLog;
import dev.ringfence.isolation.monitor.ExposureSampler;
import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.PolicyRun;
import dev.ringfence.isolation.transition.ExitReason;
import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.MetricNames;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.PolicyResult.Exposure;
import dev.ringfence.lab.result.PolicyResult.MapRegion;
import dev.ringfence.lab.result.PolicyResult.Offsets;
import dev.ringfence.lab.result.PolicyResult.Phase;
import dev.ringfence.lab.result.PolicyResult.StackCount;
import dev.ringfence.lab.result.PolicyResult.TimeBucket;
import dev.ringfence.lab.result.Range;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Makes the result of one policy from what was counted. */
final class PolicyResultBuilder {
  /** Buckets of the timeline. */
  private static final int BUCKETS = 120;

  /** Stacks for the flame graph, most frequent first; the rest are few exits each. */
  private static final int MOST_STACKS = 4_000;

  /** Causes listed, costliest first. */
  private static final int MOST_CAUSES = 2_000;

  /** Callers that tell one use of a helper such as memcpy from another. */
  private static final int CALL_SITE = 3;

  private final Experiment experiment;
  private final KernelView kernel;
  private final IsolationMonitor monitor;
  private final ExposureSampler sampler;
  private final IsolationRun.Marks marks;
  private final int index;
  private final PolicyRun run;
  private final EventCounts counts;
  private final Pricing pricing;

  PolicyResultBuilder(
      Experiment experiment,
      KernelView kernel,
      IsolationMonitor monitor,
      ExposureSampler sampler,
      IsolationRun.Marks marks,
      int index,
      Pricing pricing) {
    this.experiment = experiment;
    this.kernel = kernel;
    this.monitor = monitor;
    this.sampler = sampler;
    this.marks = marks;
    this.index = index;
    this.run = monitor.policies().get(index);
    this.counts = marks.region().counts(index);
    this.pricing = pricing;
  }

  PolicyResult build() {
    Range cost = pricing.price(counts);
    List<MapRegion> map = map();
    return new PolicyResult(
        run.policy().name(),
        run.policy().title(),
        run.policy().description(),
        obtained(),
        metrics(map),
        cost,
        pricing.share(cost, marks.region().instructions()),
        pricing.items(counts),
        causes(),
        stacks(),
        timeline(),
        exposure(),
        map,
        phases());
  }

  private String obtained() {
    int together = experiment.policies().size();
    String how =
        together == 1
            ? "Alone in one run."
            : "In one run together with %d other policies: exact, because no policy changes what the guest does, and each has tables, states and counts of its own."
                .formatted(together - 1);
    return index == 0 && run.policy().isolates()
        ? how + " Its transitions acted on the processor."
        : how;
  }

  private List<Metric> metrics(List<MapRegion> map) {
    long entries = counts.get(Event.KERNEL_ENTRY);
    long mapped = map.stream().mapToLong(MapRegion::mapped).sum() / 4096;
    List<Metric> metrics = new ArrayList<>();
    metrics.add(
        new Metric(
            MetricNames.EXITS, "events", "Exits from restricted address spaces.", counts.exits()));
    metrics.add(
        new Metric(
            MetricNames.ENTERS,
            "events",
            "Enters that changed the address space.",
            counts.enters()));
    metrics.add(
        new Metric(
            MetricNames.EXITS_PER_ENTRY,
            "exits per entry",
            "Exits for each entry of the kernel from user mode.",
            entries == 0 ? 0.0 : (double) counts.exits() / entries));
    metrics.add(
        new Metric(
            MetricNames.MAPPED_PAGES,
            "pages",
            "Pages of 4 KiB that the restricted tables map at the end, filled in as they were used.",
            mapped));
    metrics.add(
        new Metric(
            MetricNames.UNMAPPED_PAGES,
            "pages",
            "Pages taken out of restricted tables because their use changed.",
            counts.get(Event.UNMAP)));
    metrics.add(
        new Metric(
            MetricNames.SHOOTDOWNS,
            "events",
            "Invalidations of translations because pages were taken out.",
            counts.get(Event.SHOOTDOWN)));
    for (Event flush : List.of(Event.IBPB, Event.RSB_FILL, Event.L1D_FLUSH, Event.VERW)) {
      metrics.add(
          new Metric(
              MetricNames.FLUSHES + flush.id(), "events", flush.meaning(), counts.get(flush)));
    }
    metrics.add(
        new Metric(
            MetricNames.TABLE_BYTES,
            "bytes",
            "Memory of restricted page tables, at most.",
            run.tables().peakTableBytes()));
    for (Event event : Event.values()) {
      metrics.add(new Metric("events." + event.id(), "events", event.meaning(), counts.get(event)));
    }
    metrics.add(
        new Metric(
            "stale.accesses",
            "events",
            "Accesses by translations of the guest's TLB that its tables no longer hold.",
            run.staleAccesses()));
    metrics.add(
        new Metric(
            "guest.unmaps",
            "events",
            "Pages taken out of restricted tables because the kernel changed its own mapping.",
            run.guestUnmaps()));
    return metrics;
  }

  /** What makes causes equal. */
  private record CauseKey(
      String function,
      List<String> callSite,
      String data,
      String kind,
      String type,
      String field,
      String entry,
      boolean write,
      ExitReason way) {}

  private static final class CauseCount {
    long count;
    long alone;
    int stack;
    String rule = "";
    long address;
    long mostOfOneStack;
    Offsets offsets = Offsets.NONE;

    private void touched(ExitLog.Tally tally) {
      if (tally.lowestOffset() == ExitLog.Tally.UNKNOWN) {
        return;
      }
      boolean first = offsets.equals(Offsets.NONE);
      offsets =
          new Offsets(
              first ? tally.lowestOffset() : Math.min(offsets.lowest(), tally.lowestOffset()),
              Math.max(offsets.highest(), tally.highestOffset()),
              tally.objectSize());
    }
  }

  private List<Cause> causes() {
    Map<CauseKey, CauseCount> merged = new HashMap<>();
    for (ExitLog.Entry entry : run.exits().entries()) {
      CauseCount count = merged.computeIfAbsent(causeKey(entry.key()), unused -> new CauseCount());
      count.count += entry.tally().count();
      count.alone += entry.tally().alone();
      count.touched(entry.tally());
      if (entry.tally().count() > count.mostOfOneStack) {
        count.mostOfOneStack = entry.tally().count();
        count.stack = entry.key().stack();
        count.rule = rule(entry.key().datum(), entry.tally().address());
        count.address = entry.tally().address();
      }
    }
    long all = merged.values().stream().mapToLong(count -> count.count).sum();
    Map<ExitReason, Range> each = costOfExits();
    List<Map.Entry<CauseKey, CauseCount>> sorted =
        merged.entrySet().stream()
            .sorted(
                Comparator.<Map.Entry<CauseKey, CauseCount>>comparingDouble(entry ->
                        -each.getOrDefault(entry.getKey().way(), Range.NOTHING).middle()
                            * entry.getValue().count)
                    .thenComparing(entry -> entry.getKey().toString()))
            .limit(MOST_CAUSES)
            .toList();
    List<Cause> causes = new ArrayList<>();
    for (Map.Entry<CauseKey, CauseCount> entry : sorted) {
      CauseKey key = entry.getKey();
      CauseCount count = entry.getValue();
      causes.add(
          new Cause(
              causes.size() + 1,
              key.function(),
              key.callSite(),
              key.data(),
              key.kind(),
              count.rule,
              key.type(),
              key.field(),
              count.offsets,
              key.entry(),
              key.write(),
              count.count,
              each.getOrDefault(key.way(), Range.NOTHING).times((double) count.count),
              all == 0 ? 0 : (double) count.count / all,
              count.alone,
              exposedByMapping(key.kind()),
              frames(count.stack),
              count.address == 0 ? "" : "%016x".formatted(count.address)));
    }
    return causes;
  }

  /** What of the policy makes data sensitive; exits at a page of symbols are at its variables. */
  private String rule(@Nullable Datum datum, long address) {
    if (datum == null) {
      return "";
    }
    if (address > 0) {
      return "own-user-memory";
    }
    Provenance page = new Provenance(datum.kind(), datum.name(), 0, datum.user());
    return run.policy().decides(page, datum.name());
  }

  /** Memory of a kind that the policy does not expose already. */
  private long exposedByMapping(String kind) {
    long all = 0;
    for (Map.Entry<PageKind, ExposureSampler.Bytes> entry : sampler.everything().entrySet()) {
      if (entry.getKey().id().equals(kind)) {
        all += entry.getValue().maximum();
      }
    }
    for (Map.Entry<ExposureSampler.Part, ExposureSampler.Bytes> entry :
        sampler.exposure(index).entrySet()) {
      if (entry.getKey().kind().id().equals(kind)) {
        all -= entry.getValue().maximum();
      }
    }
    return Math.max(0, all);
  }

  private CauseKey causeKey(ExitLog.Key key) {
    List<String> frames = frames(key.stack());
    Datum datum = key.datum();
    String way =
        switch (key.way()) {
          case FAULT, OTHER -> "access";
          case KERNEL_ENTRY -> "kernel entry";
          case INTERRUPT -> "interrupt";
          case CONTEXT_SWITCH -> "context switch";
        };
    return new CauseKey(
        frames.isEmpty() ? "(" + way + ")" : frames.getFirst(),
        frames.stream().skip(1).limit(CALL_SITE).toList(),
        datum == null ? way : datum.text(),
        datum == null ? way.replace(' ', '-') : datum.kind().id(),
        datum == null ? "" : datum.type(),
        datum == null ? "" : datum.field(),
        EntryReason.text(key.reason(), kernel::systemCall),
        key.write(),
        key.way());
  }

  /** What one exit of each way costs, with its part of enters and flushes. */
  private Map<ExitReason, Range> costOfExits() {
    Map<ExitReason, Event> events = new EnumMap<>(ExitReason.class);
    events.put(ExitReason.FAULT, Event.EXIT_FAULT);
    events.put(ExitReason.KERNEL_ENTRY, Event.EXIT_ENTRY);
    events.put(ExitReason.INTERRUPT, Event.EXIT_INTERRUPT);
    events.put(ExitReason.CONTEXT_SWITCH, Event.EXIT_CONTEXT_SWITCH);
    events.put(ExitReason.OTHER, Event.EXIT_OTHER);
    Range shared = Range.NOTHING;
    for (CostLine line : pricing.costs().price(counts)) {
      switch (line.entry().event()) {
        case ENTER,
            ENTER_AT_RETURN,
            CR3_WRITE_KEEPING,
            CR3_WRITE_FLUSHING,
            IBPB,
            RSB_FILL,
            L1D_FLUSH,
            VERW ->
            shared = shared.plus(new Range(line.low(), line.high()));
        default -> {
          // Not a consequence of an exit, or the exit itself.
        }
      }
    }
    long exits = Math.max(1, counts.exits());
    Range part = shared.times(1.0 / exits);
    Map<ExitReason, Range> each = new EnumMap<>(ExitReason.class);
    events.forEach((way, event) -> {
      Range own =
          pricing.costs().entries(event).stream()
              .map(entry -> new Range(entry.cycles().low(), entry.cycles().high()))
              .reduce(Range.NOTHING, Range::plus);
      each.put(way, own.plus(part));
    });
    return each;
  }

  private List<String> frames(int stack) {
    List<String> frames = new ArrayList<>();
    for (long address : monitor.stacks().frames(stack)) {
      frames.add(kernel.function(address));
    }
    return frames;
  }

  private List<StackCount> stacks() {
    Map<List<String>, Long> merged = new HashMap<>();
    for (ExitLog.Entry entry : run.exits().entries()) {
      ExitLog.Key key = entry.key();
      List<String> frames = new ArrayList<>();
      frames.add(EntryReason.text(key.reason(), kernel::systemCall));
      frames.addAll(frames(key.stack()).reversed());
      CauseKey cause = causeKey(key);
      frames.add(cause.data());
      merged.merge(frames, entry.tally().count(), Long::sum);
    }
    return merged.entrySet().stream()
        .sorted(
            Map.Entry.<List<String>, Long>comparingByValue(Comparator.reverseOrder())
                .thenComparing(entry -> String.join(";", entry.getKey())))
        .limit(MOST_STACKS)
        .map(entry -> new StackCount(entry.getKey(), entry.getValue()))
        .toList();
  }

  private List<TimeBucket> timeline() {
    long from = marks.region().beginOfFirst();
    long length = Math.max(1, marks.region().endOfLast() - from);
    // Whole steps of the counts, so that no step is split.
    long bucket = Math.max(1_000_000, -Math.floorDiv(-length, BUCKETS * 1_000_000L) * 1_000_000L);
    List<TimeBucket> buckets = new ArrayList<>();
    for (long at = 0; at < length; at += bucket) {
      long start = from / 1_000_000 * 1_000_000 + at;
      buckets.add(
          new TimeBucket(
              at,
              bucket,
              run.exits().timeline().between(start, start + bucket),
              monitor.entryTimes().between(start, start + bucket)));
    }
    return buckets;
  }

  private List<Exposure> exposure() {
    return sampler.exposure(index).entrySet().stream()
        .map(entry ->
            new Exposure(
                entry.getKey().kind().id(),
                entry.getKey().kind().meaning(),
                entry.getKey().owner().text(),
                entry.getKey().user(),
                entry.getValue().maximum(),
                sampler.average(entry.getValue())))
        .sorted(
            Comparator.comparingLong(Exposure::maximum)
                .reversed()
                .thenComparing(Exposure::kind)
                .thenComparing(Exposure::owner))
        .toList();
  }

  private List<MapRegion> map() {
    Map<ExposureSampler.Region, Long> now = sampler.regionsNow(index);
    Map<ExposureSampler.Region, Long> peaks = new HashMap<>(now);
    sampler
        .regions(index)
        .forEach((region, bytes) -> peaks.merge(region, bytes.maximum(), Long::max));
    return peaks.entrySet().stream()
        .map(entry ->
            new MapRegion(
                entry.getKey().region(),
                entry.getKey().kind().id(),
                entry.getKey().name(),
                now.getOrDefault(entry.getKey(), 0L),
                entry.getValue()))
        .sorted(
            Comparator.comparingLong(MapRegion::peak)
                .reversed()
                .thenComparing(region -> region.region() + region.kind() + region.name()))
        .toList();
  }

  private List<Phase> phases() {
    List<Phase> phases = new ArrayList<>();
    for (int i = 0; i < experiment.phases().size(); i++) {
      RegionCounts phase = marks.phases().get(i);
      if (phase.everBegan()) {
        EventCounts events = phase.counts(index);
        Range cost = pricing.price(events);
        phases.add(
            new Phase(
                experiment.phases().get(i),
                phase.instructions(),
                events.get(Event.KERNEL_ENTRY),
                events.exits(),
                cost,
                pricing.share(cost, phase.instructions())));
      }
    }
    return phases;
  }
}
