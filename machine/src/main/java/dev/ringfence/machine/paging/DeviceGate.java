package dev.ringfence.machine.paging;

/** What the executor must know of slow accesses. */
public interface DeviceGate {
  /**
   * A device register is about to be accessed: the clock must show the time of the current
   * instruction.
   */
  void beforeDeviceAccess();
}
