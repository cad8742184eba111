package dev.ringfence.machine.time;

import java.util.ArrayList;
import java.util.List;

/**
 * The machine's clock and its timers. Devices read the time of the access that they serve, and arm
 * timers; the machine runs a processor until the earliest deadline and then calls {@link #expire}.
 *
 * <p>Timers that are due at the same time expire in the order of their creation, so runs are
 * reproducible.
 */
public final class VirtualClock {
  /** A deadline that is never reached. */
  public static final long NEVER = Long.MAX_VALUE;

  /**
   * A deadline with an action. One timer holds at most one deadline; arming it again replaces that.
   */
  public static final class Timer {
    private final VirtualClock clock;
    private final String name;
    private final Runnable action;
    private long deadline = NEVER;

    private Timer(VirtualClock clock, String name, Runnable action) {
      this.clock = clock;
      this.name = name;
      this.action = action;
    }

    /** Arms the timer; a deadline that has passed expires at the next opportunity. */
    public void arm(long nanoseconds) {
      deadline = nanoseconds;
      clock.recomputeNext();
    }

    public void cancel() {
      arm(NEVER);
    }

    /** The deadline in nanoseconds, or {@link #NEVER}. */
    public long deadline() {
      return deadline;
    }

    @Override
    public String toString() {
      return name + "@" + deadline;
    }
  }

  private final List<Timer> timers = new ArrayList<>();
  private long now;
  private long next = NEVER;

  /** Nanoseconds since power-on, at the instruction that executes now. */
  public long now() {
    return now;
  }

  /**
   * Set by the machine before a device can observe the time; may step back between processors of
   * one quantum.
   */
  public void setNow(long nanoseconds) {
    now = nanoseconds;
  }

  /** Creates a timer that is not armed. The action runs between instructions. */
  public Timer createTimer(String name, Runnable action) {
    Timer timer = new Timer(this, name, action);
    timers.add(timer);
    return timer;
  }

  /** The earliest deadline, or {@link #NEVER}. */
  public long nextDeadline() {
    return next;
  }

  /**
   * Runs the actions of all timers whose deadline is not after {@code now()}, each once it has been
   * disarmed.
   */
  public void expire() {
    while (next <= now) {
      for (Timer timer : timers) {
        if (timer.deadline == next) {
          timer.deadline = NEVER;
          recomputeNext();
          timer.action.run();
          break;
        }
      }
    }
  }

  private void recomputeNext() {
    long earliest = NEVER;
    for (Timer timer : timers) {
      earliest = Math.min(earliest, timer.deadline);
    }
    next = earliest;
  }
}
