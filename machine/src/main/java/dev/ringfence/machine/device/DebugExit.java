package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.memory.IoRegion;

/**
 * The port that QEMU documents as isa-debug-exit: a write of N ends the run with status 2N + 1. It
 * has no state.
 */
final class DebugExit implements IoRegion {
  /** Number of ports. */
  static final int PORTS = 4;

  private final MachineControl machine;

  DebugExit(MachineControl machine) {
    this.machine = machine;
  }

  @Override
  public long read(long offset, int bytes) {
    return 0;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    // An exit status has 8 bits.
    machine.exit((int) (value << 1 | 1) & 0xff);
  }
}
