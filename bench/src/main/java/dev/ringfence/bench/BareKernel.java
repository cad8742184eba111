package dev.ringfence.bench;

import dev.ringfence.isolation.monitor.Datum;
import dev.ringfence.isolation.monitor.OpaqueKernel;
import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;

/**
 * What the monitor is told of the kernel of guest/isolation. Answers cost next to nothing, so that
 * a benchmark measures the gate and not the reading of a kernel's structures.
 */
final class BareKernel extends OpaqueKernel {
  /** First of the pages that only loads and stores of the script touch, 8 MiB and following. */
  static final long FIRST_FRAME = 0x800;

  /** A page of a slab cache, which google-2025 maps. */
  static final long SLAB = FIRST_FRAME;

  /** A page of the page cache, which google-2025 leaves out. */
  static final long PAGE_CACHE = FIRST_FRAME + 1;

  private static final long TEXT = 0x20_1000;
  private static final long RELEASE = TEXT + 0x410;
  private static final Provenance IMAGE = new Provenance(PageKind.TEXT, "", 0, false);
  private static final Provenance OBJECT = new Provenance(PageKind.SLAB, "filp", 0, false);
  private static final Provenance CACHED = new Provenance(PageKind.PAGE_CACHE, "", 0, true);

  private final Machine machine;

  BareKernel(Machine machine) {
    this.machine = machine;
  }

  @Override
  public Provenance provenanceOfFrame(long frame) {
    return frame < FIRST_FRAME ? IMAGE : frame == PAGE_CACHE ? CACHED : OBJECT;
  }

  @Override
  public Datum describe(long linear, Provenance provenance) {
    return new Datum(provenance.kind(), provenance.name(), "", "", provenance.user());
  }

  @Override
  public String function(long address) {
    return Long.toHexString(address);
  }

  @Override
  public long currentTask(ProcessorState state, int processor) {
    return 1;
  }

  @Override
  public void observe(TaskListener tasks, AllocationTracker.Listener listener) {
    machine
        .probes()
        .setCodeProbe(
            RELEASE,
            processor -> {
              long[] r = processor.state().r;
              listener.freed(r[Slot.RDI], (int) r[Slot.RSI]);
            });
  }

  @Override
  public void release() {
    machine.probes().clearCodeProbe(RELEASE);
  }
}
