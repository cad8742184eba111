package dev.ringfence.machine;

/** A line of bytes between guest and host. */
public enum ConsolePort {
  /** The first 16550 UART, Linux's ttyS0: the console. */
  COM1,
  /** The second 16550 UART, Linux's ttyS1: what a command run for the host prints. */
  COM2,
  /** The port of the virtio console, Linux's hvc0. */
  VIRTIO_CONSOLE
}
