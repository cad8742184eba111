package dev.ringfence.machine;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * The part of a machine's state that belongs to no device or processor: its time and whose turn it
 * is.
 */
final class MachineState implements Stateful {
  private final Machine machine;

  MachineState(Machine machine) {
    this.machine = machine;
  }

  @Override
  public String stateName() {
    return "machine";
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(machine.clock().now());
    out.writeInt(machine.turnOf());
    out.writeLong(machine.cutTurnEnd());
  }

  @Override
  public void restore(StateReader in) {
    machine.clock().setNow(in.readLong());
    int processor = in.readInt("current processor", 0, machine.configuration().processors() - 1);
    machine.restoreTurn(processor, in.readLong());
  }
}
