package dev.ringfence.isolation.transition;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.FlushOperations;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Taint;
import dev.ringfence.isolation.policy.Vulnerability;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * NMIs at every step of every transition. The judge is a model of the processor that knows nothing
 * of taints: which page table is active, whose data lingers in buffers, who trained the predictors.
 */
final class NonMaskableInterruptTest {
  private static final Set<Vulnerability> L1TF = Set.of(Vulnerability.L1TF);
  private static final long KERNEL = 0;

  /** What the handler of an NMI does. */
  private enum Handler {
    /** Keeps to what is mapped everywhere. */
    HARMLESS,
    /** Touches the kernel's secrets. */
    TOUCHES
  }

  /** One run: a processor, its state machine, and NMIs at some steps. */
  private static final class Run implements TransitionListener {
    final DomainState state;
    final boolean flushesControl;
    final boolean flushesData;
    final int[] at;
    final Handler handler;
    final String where;

    int steps;
    int exits;
    @Nullable Domain cr3;
    final Set<Long> lingering = new TreeSet<>(Set.of(KERNEL));
    final Set<Long> trainers = new TreeSet<>();

    Run(Policy policy, Handler handler, int... at) {
      state = new DomainState(policy, L1TF, this);
      flushesControl =
          !policy.flushes().control().isEmpty()
              && (policy.taints(DomainClass.USERSPACE).set() & Taint.USER_CONTROL.bit()) != 0;
      flushesData = !FlushOperations.on(L1TF, policy.flushes().data()).isEmpty();
      this.at = at;
      this.handler = handler;
      where = policy.name() + ", NMI that is " + handler + " at " + Arrays.toString(at);
    }

    @Override
    public void cr3Written(@Nullable Domain domain, boolean keepTranslations) {
      cr3 = domain;
    }

    @Override
    public void exited(Domain domain, ExitReason reason) {
      exits++;
    }

    @Override
    public void controlFlush(Set<HardwareOperation> operations) {
      trainers.clear();
    }

    @Override
    public void dataFlush(Set<HardwareOperation> operations) {
      lingering.clear();
    }

    @Override
    public void step(TransitionStep step) {
      int now = steps++;
      for (int one : at) {
        if (one == now) {
          interrupt(handler);
        }
      }
    }

    void interrupt(Handler kind) {
      state.interrupted();
      if (kind == Handler.TOUCHES) {
        touch();
      }
      state.interruptReturned();
    }

    /** The kernel touches its secrets: faults if they are not mapped, and retries. */
    void touch() {
      if (cr3 != null) {
        state.exit(ExitReason.FAULT);
      }
      assertNull(cr3, where + ": the exit was lost");
      if (flushesControl) {
        assertEquals(Set.of(), trainers, where + ": unrestricted with trained predictors");
      }
      lingering.add(KERNEL);
    }

    /** The process runs. */
    void user(Domain domain) {
      state.enter(domain);
      assertEquals(domain, cr3, where + ": user mode on another page table");
      assertEquals(domain, state.current(), where);
      if (flushesData) {
        assertTrue(
            Set.of(domain.mm()).containsAll(lingering), where + ": data lingers of " + lingering);
      }
      if (flushesControl) {
        assertTrue(
            Set.of(domain.mm()).containsAll(trainers), where + ": predictors of " + trainers);
      }
      lingering.add(domain.mm());
      trainers.add(domain.mm());
    }

    void settled() {
      assertEquals(state.current(), cr3, where + ": CR3 is not that of the current domain");
      assertFalse(state.isTense(), where);
      assertEquals(0, state.task().depth(), where);
    }
  }

  private static final Domain A = new Domain(1, DomainClass.USERSPACE);
  private static final Domain B = new Domain(2, DomainClass.USERSPACE);

  /** Two processes, system calls with and without exits, interrupts, switches between both. */
  private static Run scenario(Policy policy, Handler handler, int... at) {
    Run run = new Run(policy, handler, at);
    DomainState state = run.state;
    TaskState first = state.task();
    TaskState second = new TaskState();
    state.switchMm(A);
    run.user(A);
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    run.settled();
    run.user(A);
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    run.touch();
    run.settled();
    run.user(A);
    state.kernelEntered(EntryKind.INTERRUPT);
    run.interrupt(Handler.HARMLESS);
    run.settled();
    run.interrupt(Handler.TOUCHES);
    run.settled();
    run.user(A);
    // To the other process without touching anything.
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    state.switchMm(B);
    state.taskSwitched(second);
    run.settled();
    run.user(B);
    state.kernelEntered(EntryKind.EXCEPTION);
    run.touch();
    run.settled();
    // Preempted within an interrupt; the first task goes on where it was.
    state.interrupted();
    state.switchMm(A);
    state.taskSwitched(first);
    run.settled();
    run.user(A);
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    state.switchMm(null);
    run.touch();
    run.settled();
    state.switchMm(B);
    state.taskSwitched(second);
    state.interruptReturned();
    run.settled();
    run.user(B);
    state.kernelEntered(EntryKind.SYSTEM_CALL);
    run.touch();
    run.settled();
    return run;
  }

  @Test
  void oneNmiAtEveryStepOfEveryTransitionIsHarmless() {
    for (Policy policy : TestPolicies.all()) {
      int steps = scenario(policy, Handler.HARMLESS).steps;
      assertTrue(steps > 40, policy.name() + " has only " + steps + " steps");
      for (Handler handler : Handler.values()) {
        for (int at = 0; at < steps; at++) {
          Run run = scenario(policy, handler, at);
          assertTrue(run.steps >= steps);
        }
      }
    }
  }

  @Test
  void twoNmisAtAnyStepsAlsoWithinEachOthersTransitionsAreHarmless() {
    for (Policy policy : TestPolicies.all()) {
      int steps = scenario(policy, Handler.HARMLESS).steps + 20;
      for (Handler handler : Handler.values()) {
        for (int first = 0; first < steps; first++) {
          for (int second = first + 1; second < steps; second++) {
            scenario(policy, handler, first, second);
          }
        }
      }
    }
  }

  @Test
  void stormsOfNmisAreHarmless() {
    Random random = new Random(4711);
    for (Policy policy : TestPolicies.all()) {
      for (int round = 0; round < 500; round++) {
        int[] at = random.ints(8, 0, 140).distinct().toArray();
        scenario(policy, Handler.TOUCHES, at);
      }
    }
  }

  @Test
  void anNmiThatTouchesNothingAddsNoExitUnderAPolicyThatStaysInInterrupts() {
    for (String name : List.of("google-2022", "google-2025", "google-2025-mermap", "kpti")) {
      Policy policy = Policy.load(name);
      Run quiet = scenario(policy, Handler.HARMLESS);
      for (int at = 0; at < quiet.steps; at++) {
        assertEquals(quiet.exits, scenario(policy, Handler.HARMLESS, at).exits, name + " at " + at);
      }
    }
  }
}
