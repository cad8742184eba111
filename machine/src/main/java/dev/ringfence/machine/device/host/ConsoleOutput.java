package dev.ringfence.machine.device.host;

/** Takes the bytes that a guest prints. */
@FunctionalInterface
public interface ConsoleOutput {
  /** A sink that drops everything. */
  ConsoleOutput NONE = value -> {};

  /**
   * Takes one byte.
   *
   * @param value from 0 to 255
   */
  void write(int value);
}
