package dev.ringfence.machine.interrupt;

/** Where a processor takes maskable interrupts from: its local APIC, with the PIC behind LINT0. */
public interface InterruptSource {
  /** Whether an interrupt is waiting that the task priority lets through. */
  boolean hasInterrupt();

  /**
   * Acknowledges the most important interrupt and returns its vector, or -1 if there is none any
   * more.
   */
  int acknowledge();

  /** CR8: bits 7 to 4 of the task priority register. */
  int taskPriority();

  /** Sets bits 7 to 4 of the task priority register and clears bits 3 to 0. */
  void setTaskPriority(int priority);

  /** Reads an APIC register as an MSR in x2APIC mode, {@code msr} from 800H to 8FFH, or throws. */
  long readX2Apic(int msr) throws InvalidRegisterException;

  void writeX2Apic(int msr, long value) throws InvalidRegisterException;

  /** IA32_APIC_BASE. */
  long base();

  void setBase(long value) throws InvalidRegisterException;

  /** IA32_TSC_DEADLINE in ticks of the time-stamp counter; 0 if not armed. */
  long tscDeadline();

  void setTscDeadline(long ticks);

  /**
   * The processor's time-stamp counter was written: a deadline that is armed falls due at another
   * time.
   */
  default void timeStampCounterChanged() {}

  /** A register that does not exist or a value that is reserved: the processor raises #GP(0). */
  final class InvalidRegisterException extends Exception {
    private static final long serialVersionUID = 1L;

    public InvalidRegisterException(String message) {
      super(message, null, false, false);
    }
  }
}
