package dev.ringfence.isolation.monitor;

/** A restricted address space held what it must not hold, or a TLB did: a defect of Ringfence. */
public final class IsolationViolationException extends RuntimeException {
  private static final long serialVersionUID = 1;

  IsolationViolationException(String message) {
    super(message);
  }
}
