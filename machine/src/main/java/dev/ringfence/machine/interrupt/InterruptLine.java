package dev.ringfence.machine.interrupt;

/** A wire from a device to interrupt controllers. */
@FunctionalInterface
public interface InterruptLine {
  /** Drives the line; driving it to the level it has is allowed and changes nothing. */
  void set(boolean asserted);
}
