package dev.ringfence.isolation.cost;

/**
 * What the events of a run cost, by one cost.
 *
 * @param entry the cost of one event
 * @param count of events
 */
public record CostLine(CostEntry entry, long count) {
  /** Lower bound of the cycles of all events. */
  public double low() {
    return entry.cycles().low() * count;
  }

  /** Upper bound of the cycles of all events. */
  public double high() {
    return entry.cycles().high() * count;
  }
}
