package dev.ringfence.linux.provenance;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.type.TypeTable;

/**
 * Whose an anonymous page is (Linux, mm/rmap.c): its anon_vma has a tree of the areas of processes
 * that may map it. If all of them are in one process, the page is that process's; otherwise page
 * tables tell which of them map it.
 */
final class PageOwners {
  /** Areas that are looked at; a page that may be in more is taken as shared. */
  private static final int MOST_AREAS = 32;

  private final RunningKernel kernel;
  private final KernelMemory memory;
  private final int root;
  private final int node;
  private final int left;
  private final int right;
  private final int vma;
  private final int mm;
  private final int startAddress;
  private final int endAddress;
  private final int pageOffset;

  private final long[] nodes = new long[MOST_AREAS];
  private final long[] processes = new long[MOST_AREAS];
  private final long[] addresses = new long[MOST_AREAS];

  PageOwners(RunningKernel kernel) {
    this.kernel = kernel;
    memory = kernel.memory();
    TypeTable types = kernel.types();
    root = types.offsetOf("anon_vma", "rb_root.rb_root.rb_node");
    node = types.offsetOf("anon_vma_chain", "rb");
    left = types.offsetOf("rb_node", "rb_left");
    right = types.offsetOf("rb_node", "rb_right");
    vma = types.offsetOf("anon_vma_chain", "vma");
    mm = types.offsetOf("vm_area_struct", "vm_mm");
    startAddress = types.offsetOf("vm_area_struct", "vm_start");
    endAddress = types.offsetOf("vm_area_struct", "vm_end");
    pageOffset = types.offsetOf("vm_area_struct", "vm_pgoff");
  }

  /**
   * The only process that has a page.
   *
   * @param anonVma address of its struct anon_vma
   * @param index of the page, in pages, in the areas' offsets
   * @param physical address of the page
   * @return address of the struct mm_struct; 0 if there are several or none
   */
  long owner(long anonVma, long index, long physical) {
    int waiting = 0;
    int found = 0;
    long first = memory.readLong(anonVma + root);
    if (first != 0) {
      nodes[waiting++] = first;
    }
    boolean single = true;
    int visited = 0;
    while (waiting > 0) {
      if (visited++ == MOST_AREAS) {
        return 0;
      }
      long at = nodes[--waiting];
      long area = memory.readLong(at - node + vma);
      long start = memory.readLong(area + startAddress);
      long address = start + (index - memory.readLong(area + pageOffset) << 12);
      if (address >= start && address < memory.readLong(area + endAddress)) {
        processes[found] = memory.readLong(area + mm);
        addresses[found] = address;
        single &= processes[found] == processes[0];
        found++;
      }
      long lower = memory.readLong(at + left);
      long higher = memory.readLong(at + right);
      if (waiting + 2 > MOST_AREAS) {
        return 0;
      }
      if (lower != 0) {
        nodes[waiting++] = lower;
      }
      if (higher != 0) {
        nodes[waiting++] = higher;
      }
    }
    if (found == 0) {
      return 0;
    }
    return single ? processes[0] : onlyMapper(found, physical);
  }

  private long onlyMapper(int count, long physical) {
    long owner = 0;
    for (int i = 0; i < count; i++) {
      long process = processes[i];
      if (process != owner
          && kernel.tables().translate(kernel.pgdPhysical(process), addresses[i]) == physical) {
        if (owner != 0) {
          return 0;
        }
        owner = process;
      }
    }
    return owner;
  }
}
