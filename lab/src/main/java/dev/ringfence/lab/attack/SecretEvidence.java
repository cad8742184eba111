package dev.ringfence.lab.attack;

import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.LinuxKernel;
import dev.ringfence.lab.result.LeakMatrix.Held;
import dev.ringfence.lab.result.LeakMatrix.TransientLoad;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.silicon.Silicon;
import dev.ringfence.silicon.taint.SecretTrace;
import dev.ringfence.silicon.taint.Tally;
import dev.ringfence.silicon.taint.TransientLoadCount;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What the silicon tells of a secret while an attack runs: transient loads that went for it, and
 * which structures hold bytes of it whenever the attacker is about to run, in user mode or in its
 * virtual machine. So a reader sees whether the attack merely failed or there was nothing left for
 * it, and which flush is missing or needless. It looks only.
 */
final class SecretEvidence implements AutoCloseable {
  /** Instructions that are listed, those with the most loads. */
  private static final int MOST_LOADS = 40;

  /** Bytes of a task's name that Linux keeps (TASK_COMM_LEN less the terminator). */
  private static final int COMM_BYTES = 15;

  private static final String BEFORE_ATTACKER = "before the attacker runs";

  private final Machine machine;
  private final Silicon silicon;
  private final @Nullable RunningKernel kernel;
  private final String attacker;
  private final SecretTrace trace;
  private final Set<Long> attackers = new HashSet<>();
  private final Probe observer =
      new Probe() {
        @Override
        public void kernelLeft(Processor processor) {
          look(processor);
        }

        @Override
        public void machineEntered(Processor processor) {
          look(processor);
        }
      };

  /**
   * Begins to look. All copies of the secret that memory has now count: also those that its way
   * into the guest has left.
   *
   * @param silicon that is attached to the machine
   * @param program name of the attack's program
   */
  SecretEvidence(
      Machine machine, Silicon silicon, KernelView kernel, String program, PlantedSecret planted) {
    this.machine = machine;
    this.silicon = silicon;
    this.kernel = kernel instanceof LinuxKernel linux ? linux.running() : null;
    this.attacker = program.substring(0, Math.min(program.length(), COMM_BYTES));
    this.trace = new SecretTrace(machine.memory(), silicon.cores());
    planted.copies().forEach(at -> trace.plant(at, planted.secret().length()));
    silicon.cores().forEach(core -> core.setTransientLoads(trace));
    // Behind the monitor's probe, so that what an enter flushes is flushed.
    machine.probes().add(observer);
  }

  private void look(Processor processor) {
    if (isAttacker(processor)) {
      trace.look(BEFORE_ATTACKER);
    }
  }

  /** A task has the name of the program that it executes. */
  private boolean isAttacker(Processor processor) {
    if (kernel == null) {
      return false;
    }
    long task = kernel.currentTask(processor.index());
    if (attackers.contains(task)) {
      return true;
    }
    boolean found = kernel.task(task).name().equals(attacker);
    if (found) {
      attackers.add(task);
    }
    return found;
  }

  /** Transient loads that went for the secret, those of the same instruction together. */
  List<TransientLoad> transientLoads() {
    return trace.transientLoads().stream()
        .sorted(Comparator.comparingLong(TransientLoadCount::count).reversed())
        .limit(MOST_LOADS)
        .map(load ->
            new TransientLoad(
                place(load.instruction()),
                load.way().name().toLowerCase(Locale.ROOT).replace('_', ' '),
                load.way().reached(),
                load.count()))
        .toList();
  }

  private String place(long instruction) {
    return instruction >= 0
        ? "user mode, 0x%x".formatted(instruction)
        : kernel == null ? "0x%x".formatted(instruction) : kernel.describe(instruction);
  }

  /** What structures held when the attacker was about to run. */
  List<Held> held() {
    Tally tally = trace.tallies().get(BEFORE_ATTACKER);
    List<Held> held = new ArrayList<>();
    if (tally == null) {
      return held;
    }
    for (Map.Entry<?, Tally.Found> entry : tally.found().entrySet()) {
      held.add(
          new Held(
              entry.getKey().toString().toLowerCase(Locale.ROOT).replace('_', ' '),
              entry.getValue().instants(),
              tally.instants(),
              entry.getValue().mostBytes()));
    }
    return held;
  }

  /** Looks no more. */
  @Override
  public void close() {
    machine.probes().remove(observer);
    silicon.cores().forEach(core -> core.setTransientLoads(null));
  }
}
