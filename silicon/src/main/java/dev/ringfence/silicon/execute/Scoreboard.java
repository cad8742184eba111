package dev.ringfence.silicon.execute;

import dev.ringfence.silicon.model.Pipeline;
import java.util.Arrays;

/**
 * When micro-operations of one logical processor are dispatched, execute and retire: an interval
 * model of an out-of-order pipeline. Dispatch is in order, {@code width} a cycle, and stops while
 * the reorder buffer is full; each micro-operation begins when its operands are ready; retirement
 * is in order again. Execution ports are not counted.
 *
 * <p>Times are cycles of the core. Constraint: passed at each micro-operation.
 */
final class Scoreboard {
  /** By slot of {@link TimedBlock}: when its value is ready. */
  final long[] ready = new long[TimedBlock.SLOTS];

  /** When the micro-operations retired that were dispatched last, as a ring. */
  final long[] retirements;

  /** Index of the oldest of {@link #retirements}: what the next micro-operation waits for. */
  int head;

  /** The cycle at which the last micro-operation was dispatched. */
  long dispatched;

  /** How many were dispatched in that cycle. */
  int issued;

  /** When the last micro-operation retired, and so all before it. */
  long retired;

  final int width;
  private final int refill;

  Scoreboard(Pipeline pipeline) {
    this.width = pipeline.width();
    this.refill = pipeline.frontEndRefill();
    this.retirements = new long[pipeline.reorderBuffer()];
  }

  /** Dispatches the next micro-operation; returns the cycle. */
  long dispatch() {
    long free = retirements[head];
    if (free > dispatched) {
      dispatched = free;
      issued = 1;
    } else if (issued == width) {
      dispatched++;
      issued = 1;
    } else {
      issued++;
    }
    return dispatched;
  }

  /** The micro-operation dispatched last has finished, and retires as soon as those before it. */
  void retire(long finished) {
    if (finished > retired) {
      retired = finished;
    }
    retirements[head] = retired;
    head = head + 1 == retirements.length ? 0 : head + 1;
  }

  /** When all operands are ready that a micro-operation waits for, and it is dispatched. */
  long start(long timing, long dispatch) {
    long start = Math.max(dispatch, ready[TimedBlock.first(timing)]);
    start = Math.max(start, ready[TimedBlock.second(timing)]);
    start = Math.max(start, ready[TimedBlock.third(timing)]);
    return Math.max(start, ready[TimedBlock.fourth(timing)]);
  }

  /** Nothing younger is dispatched before a cycle. */
  void hold(long until) {
    if (until > dispatched) {
      dispatched = until;
      issued = 0;
    }
  }

  /** The front end fetches from another address from a cycle on. */
  void redirect(long at) {
    hold(at + refill);
  }

  /** Everything has retired at a cycle, and nothing younger was dispatched before. */
  void drain(long at) {
    retired = Math.max(retired, at);
    hold(retired);
  }

  /** Time passed in which nothing executed: everything is ready now. */
  void restart(long now) {
    Arrays.fill(ready, 0);
    Arrays.fill(retirements, 0);
    retired = now;
    dispatched = now;
    issued = 0;
  }
}
