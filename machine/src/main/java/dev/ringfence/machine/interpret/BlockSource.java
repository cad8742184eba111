package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.ProcessorException;

/** Where an executor gets the block to execute next. */
interface BlockSource {
  /**
   * The block at RIP.
   *
   * @throws ProcessorException if the fetch raises one
   * @throws ExecutionOutsideMemory if there is no RAM at RIP
   */
  Block find();

  /** Modes or translations may have changed since the last block. */
  void forget();
}
