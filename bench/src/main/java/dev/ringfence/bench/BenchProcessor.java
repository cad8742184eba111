package dev.ringfence.bench;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;

/**
 * A processor in 64-bit mode with memory and page tables and nothing else. {@link #LINEAR} pages
 * that a benchmark maps go to one page each of the first ones of RAM.
 */
final class BenchProcessor implements AutoCloseable {
  /** First linear address that can be mapped; there are {@link #MOST_PAGES}. */
  static final long LINEAR = 1L << 40;

  static final int MOST_PAGES = 1 << 17;

  /** Highest page table, as CR3 has it. */
  static final long ROOT = 0x100_0000;

  final PhysicalMemory memory = new PhysicalMemory(64 << 20);
  final Processor processor;

  BenchProcessor() {
    processor =
        new Processor(
            0,
            CpuModel.load(CpuModel.DEFAULT),
            memory,
            new IoSpace("ports"),
            new VirtualClock(),
            new Frequency(1_000_000_000));
    ProcessorState state = processor.state();
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_WP;
    state.cr3 = ROOT;
    state.cr4 = ControlBits.CR4_PAE | ControlBits.CR4_PGE | ControlBits.CR4_PCIDE;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
    long present = 3;
    long second = ROOT + 0x1000;
    long third = ROOT + 0x2000;
    memory.writeLong(ROOT + (LINEAR >>> 39 & 511) * 8, second | present);
    memory.writeLong(second, third | present);
    for (int table = 0; table < MOST_PAGES / 512; table++) {
      long pages = ROOT + 0x3000 + 0x1000L * table;
      memory.writeLong(third + 8L * table, pages | present);
      for (int page = 0; page < 512; page++) {
        memory.writeLong(pages + 8L * page, (table * 512 + page & 1023) * 4096L | present);
      }
    }
    processor.memory().invalidateAll();
  }

  /** A linear address that is mapped. */
  static long page(int number) {
    return LINEAR + 4096L * number;
  }

  @Override
  public void close() {
    memory.close();
  }
}
