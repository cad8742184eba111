package dev.ringfence.isolation.monitor;

import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A kernel that cannot be read: for policies that leave at every entry, and so need not know what
 * the kernel touches. Guests of which little is known tell that little in a class of their own.
 */
public class OpaqueKernel implements KernelView {
  /** Where x86-64 Linux maps the first byte of RAM if nothing moves it. */
  public static final long DIRECT_MAP = 0xffff_8880_0000_0000L;

  private static final long FRAME = 0x000f_ffff_ffff_f000L;
  private static final Provenance UNKNOWN = new Provenance(PageKind.UNKNOWN, "", 0, false);

  @Override
  public final Provenance provenance(long linear, long physical) {
    return provenanceOfFrame(physical >>> 12);
  }

  @Override
  public Provenance provenanceOfFrame(long frame) {
    return UNKNOWN;
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
    return new Datum(PageKind.UNKNOWN, "", "", "", false);
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
    return "0x%x".formatted(address);
  }

  @Override
  public long addressSpace(long cr3) {
    return cr3 & FRAME;
  }

  @Override
  public long mm(long addressSpace) {
    return addressSpace;
  }

  @Override
  public long currentTask(ProcessorState state, int processor) {
    return processor;
  }

  @Override
  public long mmOfTask(long task) {
    return 0;
  }

  @Override
  public GuestProcess process(long task) {
    return GuestProcess.UNKNOWN;
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
  public void observe(TaskListener tasks, AllocationTracker.Listener listener) {}

  @Override
  public void release() {}

  @Override
  public String systemCall(int number) {
    return String.valueOf(number);
  }
}
