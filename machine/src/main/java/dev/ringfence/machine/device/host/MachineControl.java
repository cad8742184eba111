package dev.ringfence.machine.device.host;

/**
 * What a guest can ask of the machine as a whole. A device calls this in the middle of an
 * instruction; the machine acts once that instruction has ended.
 */
public interface MachineControl {
  /** The guest switched the power off. */
  void powerOff();

  /** The guest asked for a reset of the whole platform. */
  void reset();

  /** The guest ended the run with an exit status, from 0 to 255, through isa-debug-exit. */
  void exit(int status);
}
