package dev.ringfence.silicon.execute;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;

/** Finds what the pipeline must know of a block, and finds it out once. */
final class TimedBlocks {
  private final Latencies latencies;
  private final TranslatedMemory memory;
  private final PhysicalMemory physical;

  TimedBlocks(Processor processor, Latencies latencies) {
    this.latencies = latencies;
    this.memory = processor.memory();
    this.physical = processor.physical();
  }

  /** Of a block that was executed or followed before. */
  TimedBlock of(Block block) {
    return (TimedBlock) block.annotation;
  }

  /** Of a block that is about to be executed or followed. */
  TimedBlock at(Block block, long rip) {
    return block.annotation instanceof TimedBlock timed && timed.latencies == latencies
        ? timed
        : make(block, rip);
  }

  /**
   * Makes it, or takes that of an executor which was here before with the same model, if that one
   * knew all that this one would find out.
   */
  private TimedBlock make(Block block, long linear) {
    if (block.annotation instanceof TimedBlock earlier
        && earlier.latencies.isSameAs(latencies)
        && earlier.physical != TimedBlock.UNKNOWN) {
      earlier.latencies = latencies;
      return earlier;
    }
    TimedBlock timed = new TimedBlock(block, latencies, physicalOf(linear));
    block.annotation = timed;
    return timed;
  }

  /** A block belongs to a page of RAM, so that its physical address stays. */
  private long physicalOf(long linear) {
    int entry = TranslatedMemory.entry(linear);
    if (memory.fetchTable[entry] == (linear & PAGE | memory.fetchContext)) {
      return physical.addressOfPage((int) memory.fetchTable[entry + 1]) | linear & 0xfff;
    }
    TranslationInspector inspector = memory.inspector();
    boolean mapped =
        inspector.inspect(linear, PageWalker.FETCH) == TranslationInspector.Outcome.PERMITTED;
    return mapped ? inspector.physical() : TimedBlock.UNKNOWN;
  }
}
