package dev.ringfence.machine.cpu;

import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.LinearMemory;
import dev.ringfence.machine.time.TimeStampCounter;
import dev.ringfence.machine.time.VirtualClock;

/** One processor: its state, and what its instructions can reach. */
public final class Processor {
  private final int index;
  private final CpuModel model;
  private final ProcessorState state = new ProcessorState();
  private final PhysicalMemory physical;
  private final IoSpace ports;
  private final VirtualClock clock;
  private final TimeStampCounter timeStampCounter;
  private LinearMemory memory;
  private InterruptSource apic;

  public Processor(
      int index,
      CpuModel model,
      PhysicalMemory physical,
      IoSpace ports,
      VirtualClock clock,
      TimeStampCounter timeStampCounter) {
    this.index = index;
    this.model = model;
    this.physical = physical;
    this.ports = ports;
    this.clock = clock;
    this.timeStampCounter = timeStampCounter;
  }

  /** Number of the processor, which is also its initial APIC ID. */
  public int index() {
    return index;
  }

  public CpuModel model() {
    return model;
  }

  public ProcessorState state() {
    return state;
  }

  public LinearMemory memory() {
    return memory;
  }

  public PhysicalMemory physical() {
    return physical;
  }

  public IoSpace ports() {
    return ports;
  }

  public VirtualClock clock() {
    return clock;
  }

  public InterruptSource apic() {
    return apic;
  }

  /** IA32_TIME_STAMP_COUNTER as this processor's software sees it now. */
  public long timeStamp() {
    return timeStampCounter.ticksAt(clock.now()) + state.tscOffset;
  }

  /** Makes the executor look for interrupts, INIT and other events before the next instruction. */
  public void requestAttention() {
    // filled in with the executor
  }
}
