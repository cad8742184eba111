package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.CostLine;
import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.lab.result.PolicyResult.CostItem;
import dev.ringfence.lab.result.Range;
import java.util.ArrayList;
import java.util.List;

/**
 * What counted events cost.
 *
 * @param costs of single events
 * @param cyclesPerInstruction of the workload
 */
record Pricing(CostModel costs, Range cyclesPerInstruction) {
  /** Cycles of all events together. */
  Range price(EventCounts events) {
    double low = 0;
    double high = 0;
    for (CostLine line : costs.price(events)) {
      low += line.low();
      high += line.high();
    }
    return new Range(low, high);
  }

  /** The same by kind of event. */
  List<CostItem> items(EventCounts events) {
    List<CostItem> items = new ArrayList<>();
    for (CostLine line : costs.price(events)) {
      items.add(
          new CostItem(
              line.entry().name(),
              line.entry().meaning(),
              line.count(),
              new Range(line.entry().cycles().low(), line.entry().cycles().high()),
              new Range(line.low(), line.high()),
              line.entry().cycles().source(),
              line.entry().cycles().mark()));
    }
    return items;
  }

  /** Of a workload's own cycles: the lowest cost of the slowest to the highest of the fastest. */
  Range share(Range cost, long instructions) {
    if (instructions == 0) {
      return Range.NOTHING;
    }
    return new Range(
        cost.low() / (cyclesPerInstruction.high() * instructions),
        cost.high() / (cyclesPerInstruction.low() * instructions));
  }
}
