package dev.ringfence.machine.interpret;

/**
 * Code is fetched from an address without RAM: there is nothing that this PC could execute there.
 */
public final class ExecutionOutsideMemory extends RuntimeException {
  private static final long serialVersionUID = 1L;

  ExecutionOutsideMemory(long linear) {
    super(
        "the processor fetches code from linear address %016x, where there is no RAM"
            .formatted(linear),
        null,
        false,
        false);
  }
}
