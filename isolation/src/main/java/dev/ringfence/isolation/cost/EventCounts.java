package dev.ringfence.isolation.cost;

import java.util.Arrays;

/** How often each kind of event has happened. Not for several threads. */
public final class EventCounts {
  private static final Event[] EVENTS = Event.values();

  private final long[] counts;

  /** All zero. */
  public EventCounts() {
    this(new long[EVENTS.length]);
  }

  private EventCounts(long[] counts) {
    this.counts = counts;
  }

  /** Counts one event. */
  public void increment(Event event) {
    counts[event.index()]++;
  }

  /** Counts several events of a kind. */
  public void add(Event event, long count) {
    counts[event.index()] += count;
  }

  /**
   * Adds those of another, or takes them away.
   *
   * @param sign 1 or -1
   */
  public void add(EventCounts other, int sign) {
    for (int i = 0; i < counts.length; i++) {
      counts[i] += sign * other.counts[i];
    }
  }

  public long get(Event event) {
    return counts[event.index()];
  }

  /** All exits, whatever their reason. */
  public long exits() {
    long exits = 0;
    for (Event event : EVENTS) {
      if (event.isExit()) {
        exits += get(event);
      }
    }
    return exits;
  }

  /** All enters that changed the address space. */
  public long enters() {
    return get(Event.ENTER) + get(Event.ENTER_AT_RETURN);
  }

  /** The counts as they are now. */
  public EventCounts copy() {
    return new EventCounts(counts.clone());
  }

  /** What has been counted since an earlier {@link #copy}. */
  public EventCounts since(EventCounts earlier) {
    EventCounts difference = copy();
    difference.add(earlier, -1);
    return difference;
  }

  /** Both together, such as those of two processors. */
  public EventCounts plus(EventCounts other) {
    EventCounts sum = copy();
    sum.add(other, 1);
    return sum;
  }

  /** Forgets everything. */
  public void clear() {
    Arrays.fill(counts, 0);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof EventCounts that && Arrays.equals(counts, that.counts);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(counts);
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (Event event : EVENTS) {
      if (get(event) != 0) {
        text.append(text.isEmpty() ? "" : ", ").append(event.id()).append(' ').append(get(event));
      }
    }
    return text.toString();
  }
}
