package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import org.jspecify.annotations.Nullable;

/**
 * Executes the instructions of one processor. The machine has one of its own, which interprets and
 * translates; a layer above may put another in its place ({@link
 * dev.ringfence.machine.Machine#setExecutor}), which gives instructions the same meaning and may
 * know more of how they came about.
 *
 * <p>An executor does not deliver events. It returns when the processor needs attention, and {@link
 * ProcessorLoop} then delivers what is there.
 */
public interface Executor {
  /**
   * Executes until the processor's time reaches {@code until}, or it needs attention, or an
   * exception is raised, which {@link #exception} then gives. Afterwards RIP is exact, and the
   * instructions that completed have been counted by {@link Processor#complete}.
   *
   * <p>Modes, translations and registers may have changed since the last call.
   *
   * @param until in nanoseconds
   */
  void execute(long until);

  /** The exception that ended the last call, or null. It has not been delivered. */
  @Nullable ProcessorException exception();

  /** An interrupt or exception has been delivered; RIP is at its handler. */
  default void eventDelivered() {}

  /** Whether the last block was executed from a translation of it, for profiles. */
  default boolean lastTranslated() {
    return false;
  }

  /** Makes the executor of a processor. */
  @FunctionalInterface
  interface Factory {
    /**
     * @param blocks finds the processor's decoded code; this executor's alone
     */
    Executor create(Processor processor, BlockFinder blocks);
  }
}
