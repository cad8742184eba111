package dev.ringfence.lab.experiment;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Machines of one configuration, for runs that each go on from a saved state: a machine that was
 * used has decoded and translated most of the code that the next run executes. May be used by
 * several threads.
 */
public final class MachinePool implements AutoCloseable {
  private final MachineConfiguration configuration;
  private final int most;
  private final Deque<Machine> unused = new ArrayDeque<>();

  /**
   * @param most machines to keep while nobody uses them
   */
  public MachinePool(MachineConfiguration configuration, int most) {
    this.configuration = configuration;
    this.most = most;
  }

  /** A machine whose state is of no meaning; it goes back by {@link #giveBack}. */
  Machine take() {
    Machine machine;
    synchronized (this) {
      machine = unused.poll();
    }
    return machine == null ? new Machine(configuration) : machine;
  }

  /** Takes a machine of the configuration that does not run and that nobody uses any more. */
  public void giveBack(Machine machine) {
    machine.recycle();
    synchronized (this) {
      if (unused.size() < most) {
        unused.push(machine);
        return;
      }
    }
    machine.close();
  }

  /** Gives the machines that are kept back to the host. */
  @Override
  public synchronized void close() {
    unused.forEach(Machine::close);
    unused.clear();
  }
}
