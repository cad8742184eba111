package dev.ringfence.machine;

/**
 * The guest did something after which the machine cannot go on: a triple fault, an unknown opcode
 * at CPL 0, a jump into nothing, a kernel panic, an endless loop. The message is the whole report
 * (what happened, registers, bytes at RIP, last console lines). The command line prints it and
 * leaves with status 3.
 */
public final class GuestTroubleException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public GuestTroubleException(String report) {
    super(report);
  }
}
