package dev.ringfence.isolation.monitor;

import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What the monitor must know of the kernel above it. All reading is from outside: nothing here
 * makes an access in the guest.
 */
public interface KernelView {
  /**
   * What a page of the upper half is.
   *
   * @param linear address in the page
   * @param physical address it is mapped to
   */
  Provenance provenance(long linear, long physical);

  /** What a page of RAM is, seen through the kernel's map of all memory. */
  Provenance provenanceOfFrame(long frame);

  /**
   * A number that changes when the provenance of a page of RAM may have changed, cheap to ask for.
   *
   * @param frame number of the page: physical address divided by 4096
   */
  long signature(long frame);

  /** Reads again what only walks find, before accounts of all memory. */
  void refresh();

  /** Variables on a page of the kernel image or of a CPU's area; empty for other pages. */
  List<String> symbolsOn(long linear, PageKind kind);

  /** More about an address, for people: type and field where that can be told. */
  Datum describe(long linear, Provenance provenance);

  /**
   * Where in a file or slab object an access lies.
   *
   * @param linear address of the first byte
   * @param frame number of the page it lies in
   * @return null if the page belongs to neither
   */
  @Nullable ObjectOffset offset(long linear, long frame, PageKind kind);

  /** Address at which the kernel maps all memory: that of a page. */
  long directMap(long frame);

  /** Part of the address space, for people: {@code direct map}, {@code vmalloc}. */
  String region(long linear);

  /**
   * The kernel stack at this point.
   *
   * @param frames takes the addresses of code, most recent first, the current instruction's
   *     included
   * @return how many
   */
  int unwind(Processor processor, long[] frames);

  /** The function at an address of code, with nothing about where in it. */
  String function(long address);

  /** The address space that CR3 names, equal for its user and its kernel variant. */
  long addressSpace(long cr3);

  /**
   * The {@code struct mm_struct} of an address space.
   *
   * @return its address, 0 for one of the kernel's own
   */
  long mm(long addressSpace);

  /** The task that a processor runs now; any number that names it. */
  long currentTask(ProcessorState state, int processor);

  /** The process of a task, 0 for a task of the kernel's own. */
  long mmOfTask(long task);

  /** The process that a task is a thread of, for people. */
  GuestProcess process(long task);

  /**
   * A process.
   *
   * @param number as user programs see it (the kernel's {@code tgid}); 0 if that is not known
   * @param name of its first thread, at most 15 bytes; empty if that is not known
   */
  record GuestProcess(int number, String name) {
    /** A process of which nothing is known. */
    public static final GuestProcess UNKNOWN = new GuestProcess(0, "");
  }

  /** Lowest address of a task's kernel stack. */
  long stack(long task);

  /** Bytes of a kernel stack. */
  int stackBytes();

  /**
   * Observes task switches and the page allocator.
   *
   * @param listener told of pages that change hands
   */
  void observe(TaskListener tasks, AllocationTracker.Listener listener);

  /** Stops observing. */
  void release();

  /** Name of a system call, or its number as text. */
  String systemCall(int number);

  /** Told of task switches. */
  interface TaskListener {
    /**
     * A task is about to get the processor.
     *
     * @param previousEnded the task before will not run again
     */
    void switched(Processor processor, long previous, long next, boolean previousEnded);
  }
}
