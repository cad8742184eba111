package dev.ringfence.machine.paging;

/**
 * Raised for translated code instead of an access after which its block would have to be left: to a
 * device, or a store to decoded code. Nothing has been accessed; the interpreter executes the
 * instruction. Without a stack trace, because one is raised for each access to a device.
 */
public final class RestartInstruction extends RuntimeException {
  private static final long serialVersionUID = 1;

  RestartInstruction() {
    super(null, null, false, false);
  }
}
