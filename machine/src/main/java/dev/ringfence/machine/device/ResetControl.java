package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * Reset control register at port CF9H (Intel 82371SB data sheet, "RC"): a rising edge of bit 2
 * resets, bit 1 chooses a hard reset. The FADT names it as the reset register.
 */
final class ResetControl implements IoRegion, Stateful {
  /** The port. */
  static final int PORT = 0xcf9;

  /** The value that resets, for the FADT. */
  static final int RESET_VALUE = 6;

  private static final int RESET_PROCESSOR = 4;

  private final MachineControl machine;
  private int register;

  ResetControl(MachineControl machine) {
    this.machine = machine;
  }

  @Override
  public long read(long offset, int bytes) {
    return register;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    boolean reset = (value & ~register & RESET_PROCESSOR) != 0;
    register = (int) value & 0x0e;
    if (reset) {
      machine.reset();
    }
  }

  @Override
  public String stateName() {
    return "reset-control";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(register);
  }

  @Override
  public void restore(StateReader in) {
    register = in.readInt("reset control", 0, 255);
  }
}
