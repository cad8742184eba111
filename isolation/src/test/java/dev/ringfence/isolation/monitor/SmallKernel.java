package dev.ringfence.isolation.monitor;

import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.probe.CodeProbe;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the kernel of guest/isolation is, told by the tests that run it. */
final class SmallKernel extends OpaqueKernel {
  /** Linear address of the first byte of RAM. */
  static final long DIRECT = DIRECT_MAP;

  /** First of 512 pages that step 4 of the guest's script maps. */
  static final long AREAS = 0xffff_c900_0000_0000L;

  /** Physical address of the page table of {@link #AREAS}. */
  static final long AREA_TABLE = 0x22_5000;

  static final long IMAGE = 0xffff_ffff_8000_0000L;
  static final long TEXT = 0x20_1000;
  static final long TABLES = 0x20_2000;
  static final long STACK = 0x20_3000;
  static final long ROOT_A = 0x21_0000;
  static final long ROOT_B = 0x21_1000;
  static final long MM_A = 0xa000;
  static final long MM_B = 0xb000;
  static final long TASK_A = 1;
  static final long TASK_B = 2;

  private static final long ALLOCATE = TEXT + 0x400;
  private static final long RELEASE = TEXT + 0x410;
  private static final long SWITCH_TASK = TEXT + 0x420;
  private static final long NO_PAGE = 1;

  private final Machine machine;
  private final Map<Long, Provenance> frames = new HashMap<>();
  private final Map<Long, Long> signatures = new HashMap<>();
  private long task = TASK_A;

  SmallKernel(Machine machine) {
    this.machine = machine;
    frames.put(TEXT >>> 12, new Provenance(PageKind.TEXT, "", 0, false));
    frames.put(TABLES >>> 12, new Provenance(PageKind.CPU_ENTRY_AREA, "", 0, false));
    frames.put(STACK >>> 12, new Provenance(PageKind.TASK_STACK, "", MM_A, false));
    frames.put(AREA_TABLE >>> 12, new Provenance(PageKind.PAGE_TABLE, "", 0, false));
  }

  /** Says what a frame is from now on, without telling the monitor. */
  void set(long frame, Provenance provenance) {
    frames.put(frame, provenance);
    signatures.merge(frame, 1L, Long::sum);
  }

  @Override
  public Provenance provenanceOfFrame(long frame) {
    return frames.getOrDefault(frame, new Provenance(PageKind.UNKNOWN, "", 0, false));
  }

  @Override
  public long signature(long frame) {
    return signatures.getOrDefault(frame, 0L);
  }

  @Override
  public List<String> symbolsOn(long linear, PageKind kind) {
    return kind == PageKind.TEXT ? List.of("entry_SYSCALL_64") : List.of();
  }

  @Override
  public Datum describe(long linear, Provenance provenance) {
    return new Datum(provenance.kind(), provenance.name(), "", "", provenance.user());
  }

  @Override
  public String region(long linear) {
    return linear < AREAS ? "direct map" : linear < IMAGE ? "areas" : "image";
  }

  @Override
  public String function(long address) {
    return Long.toHexString(address);
  }

  @Override
  public long mm(long addressSpace) {
    return addressSpace == ROOT_A ? MM_A : addressSpace == ROOT_B ? MM_B : 0;
  }

  @Override
  public long currentTask(ProcessorState state, int processor) {
    return task;
  }

  @Override
  public long mmOfTask(long someTask) {
    return someTask == TASK_A ? MM_A : someTask == TASK_B ? MM_B : 0;
  }

  @Override
  public long stack(long someTask) {
    return someTask == TASK_A ? IMAGE + STACK : NO_PAGE << 12;
  }

  @Override
  public int stackBytes() {
    return 4096;
  }

  private static long argument(Processor processor, int register) {
    return processor.state().r[register];
  }

  @Override
  public void observe(TaskListener tasks, AllocationTracker.Listener listener) {
    probe(
        ALLOCATE,
        processor -> {
          long first = argument(processor, Slot.RDI);
          int pages = (int) argument(processor, Slot.RSI);
          boolean user = argument(processor, Slot.RDX) != 0;
          for (long frame = first; frame < first + pages; frame++) {
            PageKind kind = user ? PageKind.USER_ALLOCATION : PageKind.KERNEL_ALLOCATION;
            set(frame, new Provenance(kind, "", 0, user));
          }
          listener.allocated(first, pages, user, IMAGE + ALLOCATE);
        });
    probe(
        RELEASE,
        processor -> {
          long first = argument(processor, Slot.RDI);
          int pages = (int) argument(processor, Slot.RSI);
          listener.freed(first, pages);
          for (long frame = first; frame < first + pages; frame++) {
            set(frame, new Provenance(PageKind.FREE, "", 0, false));
          }
        });
    probe(
        SWITCH_TASK,
        processor -> {
          long previous = task;
          task = argument(processor, Slot.RDI);
          tasks.switched(processor, previous, task, argument(processor, Slot.RSI) != 0);
        });
  }

  private void probe(long address, CodeProbe probe) {
    if (!machine.probes().setCodeProbe(address, probe)) {
      throw new IllegalStateException("no RAM at %x".formatted(address));
    }
  }

  @Override
  public void release() {
    machine.probes().clearCodeProbe(ALLOCATE);
    machine.probes().clearCodeProbe(RELEASE);
    machine.probes().clearCodeProbe(SWITCH_TASK);
  }

  @Override
  public String systemCall(int number) {
    return Integer.toString(number);
  }
}
