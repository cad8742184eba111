package dev.ringfence.bench;

import dev.ringfence.isolation.monitor.Datum;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.ObjectOffset;
import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the monitor is told of the kernel of guest/isolation. Answers cost next to nothing, so that
 * a benchmark measures the gate and not the reading of a kernel's structures.
 */
final class BareKernel implements KernelView {
  /** Linear address at which the kernel maps the first byte of RAM. */
  static final long DIRECT_MAP = 0xffff_8880_0000_0000L;

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
  public Provenance provenance(long linear, long physical) {
    return provenanceOfFrame(physical >>> 12);
  }

  @Override
  public Provenance provenanceOfFrame(long frame) {
    return frame < FIRST_FRAME ? IMAGE : frame == PAGE_CACHE ? CACHED : OBJECT;
  }

  @Override
  public long signature(long frame) {
    return 0;
  }

  @Override
  public void refresh() {}

  @Override
  public List<String> symbolsOn(long linear, PageKind kind) {
    return List.of();
  }

  @Override
  public Datum describe(long linear, Provenance provenance) {
    return new Datum(provenance.kind(), provenance.name(), "", "", provenance.user());
  }

  @Override
  public @Nullable ObjectOffset offset(long linear, long frame, PageKind kind) {
    return null;
  }

  @Override
  public long directMap(long frame) {
    return DIRECT_MAP + (frame << 12);
  }

  @Override
  public String region(long linear) {
    return "kernel half";
  }

  @Override
  public int unwind(Processor processor, long[] frames) {
    frames[0] = processor.state().rip;
    return 1;
  }

  @Override
  public String function(long address) {
    return Long.toHexString(address);
  }

  @Override
  public long addressSpace(long cr3) {
    return cr3 & -4096;
  }

  @Override
  public long mm(long addressSpace) {
    return addressSpace;
  }

  @Override
  public long currentTask(ProcessorState state, int processor) {
    return 1;
  }

  @Override
  public long mmOfTask(long task) {
    return 0;
  }

  @Override
  public long stack(long task) {
    return 0;
  }

  @Override
  public int stackBytes() {
    return 0;
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

  @Override
  public String systemCall(int number) {
    return Integer.toString(number);
  }
}
