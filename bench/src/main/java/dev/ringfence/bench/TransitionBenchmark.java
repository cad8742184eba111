package dev.ringfence.bench;

import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.cost.TransitionCounts;
import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.isolation.transition.DomainState;
import dev.ringfence.isolation.transition.EntryKind;
import dev.ringfence.isolation.transition.ExitReason;
import java.util.EnumSet;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds of the host for one round through the state machine of a policy (google-2025), with
 * its events counted, and neither machine nor tables beneath it. A round begins and ends in user
 * code.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class TransitionBenchmark {
  private final Domain first = new Domain(0x1000, DomainClass.USERSPACE);
  private final Domain second = new Domain(0x2000, DomainClass.USERSPACE);
  private final EventCounts counts = new EventCounts();
  private final DomainState state;
  private boolean inSecond;

  public TransitionBenchmark() {
    Policy policy = Policy.load("google-2025");
    state =
        new DomainState(
            policy, EnumSet.allOf(Vulnerability.class), new TransitionCounts(policy, counts));
    state.switchMm(first);
    state.enter(first);
  }

  /** The kernel is entered and left, and nothing calls for an exit. */
  @Benchmark
  public EventCounts relaxAndEnter() {
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    state.enter(first);
    return counts;
  }

  /** The kernel touches something sensitive: exit with its flushes, then an enter with its own. */
  @Benchmark
  public EventCounts exitAndEnter() {
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    state.exit(ExitReason.FAULT);
    state.enter(first);
    return counts;
  }

  /** The kernel goes on with another process. */
  @Benchmark
  public EventCounts switchProcess() {
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    inSecond = !inSecond;
    Domain next = inSecond ? second : first;
    state.switchMm(next);
    state.enter(next);
    return counts;
  }
}
