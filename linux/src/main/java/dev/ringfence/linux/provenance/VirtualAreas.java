package dev.ringfence.linux.provenance;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.running.PageTables;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The areas of vmalloc, vmap and ioremap, by address and by physical page (Linux, mm/vmalloc.c).
 *
 * <p>By address they are looked up in the kernel's own trees each time, so the answer is right now.
 * By page they are known as of the last {@link #refresh}; each answer is checked against the page
 * tables, so that it may be missing but not wrong.
 */
final class VirtualAreas {
  /** Flags of struct vm_struct (include/linux/vmalloc.h). */
  private static final long VM_IOREMAP = 1;

  private static final long VM_MAP = 4;

  /** More areas than a kernel has, and a depth that no balanced tree reaches: ends of walks. */
  private static final int MOST_AREAS = 100_000;

  private static final int MOST_DEPTH = 64;

  /** Functions that a kernel stack's area has as its caller, by what the compiler inlined. */
  private static final Set<String> STACK_ALLOCATORS =
      Set.of(
          "alloc_thread_stack_node",
          "dup_task_struct",
          "copy_process",
          "kernel_clone",
          "create_io_thread",
          "vhost_task_create",
          "fork_idle");

  private static final int GUARD_BYTES = 4096;

  /**
   * One area.
   *
   * @param address of its struct vmap_area
   * @param end first address behind it
   * @param kind what the calling function tells: stack, per-CPU chunk, device or vmalloc
   * @param borrowed whether it maps pages that someone else has allocated
   * @param caller the function that made it; empty if it has no struct vm_struct
   */
  record Area(long address, long start, long end, PageKind kind, boolean borrowed, String caller) {}

  private final RunningKernel kernel;
  private final KernelMemory memory;
  private final PhysicalMemory physical;
  private final long stackBytes;
  private final int start;
  private final int end;
  private final int node;
  private final int vm;
  private final int left;
  private final int right;
  private final int flags;
  private final int size;
  private final int caller;

  /** Addresses of the pointers to the trees' roots; more than one since Linux 6.9. */
  private final List<Long> roots = new ArrayList<>();

  private final Map<Long, String> callers = new HashMap<>();
  private List<Area> areas = List.of();

  /** By RAM page: index of the area in {@link #areas} plus one. */
  private final int[] areaOfPage;

  /** By RAM page: address at which the area maps it. */
  private final long[] linearOfPage;

  VirtualAreas(RunningKernel kernel) {
    this.kernel = kernel;
    memory = kernel.memory();
    physical = kernel.machine().memory();
    TypeTable types = kernel.types();
    stackBytes = kernel.stackBytes();
    start = types.offsetOf("vmap_area", "va_start");
    end = types.offsetOf("vmap_area", "va_end");
    node = types.offsetOf("vmap_area", "rb_node");
    vm = types.offsetOf("vmap_area", "vm");
    left = types.offsetOf("rb_node", "rb_left");
    right = types.offsetOf("rb_node", "rb_right");
    flags = types.offsetOf("vm_struct", "flags");
    size = types.offsetOf("vm_struct", "size");
    caller = types.offsetOf("vm_struct", "caller");
    findRoots(types);
    areaOfPage = new int[physical.ramPages()];
    linearOfPage = new long[physical.ramPages()];
  }

  private void findRoots(TypeTable types) {
    SymbolTable symbols = kernel.symbols();
    Symbol single = symbols.find("vmap_area_root");
    if (single != null) {
      roots.add(single.address() + types.offsetOf("rb_root", "rb_node"));
      return;
    }
    long nodes = memory.readLong(symbols.require("vmap_nodes"));
    int count = Math.clamp(memory.readInt(symbols.require("nr_vmap_nodes")), 1, 1 << 16);
    for (int i = 0; i < count; i++) {
      roots.add(
          nodes
              + (long) i * types.sizeOf("vmap_node")
              + types.offsetOf("vmap_node", "busy.root.rb_node"));
    }
  }

  /** The area that an address lies in now, or null. */
  @Nullable Area at(long linear) {
    for (long root : roots) {
      long at = memory.readLong(root);
      for (int depth = 0; at != 0 && depth < MOST_DEPTH; depth++) {
        long area = at - node;
        if (Long.compareUnsigned(linear, memory.readLong(area + start)) < 0) {
          at = memory.readLong(at + left);
        } else if (Long.compareUnsigned(linear, memory.readLong(area + end)) >= 0) {
          at = memory.readLong(at + right);
        } else {
          return read(area);
        }
      }
    }
    return null;
  }

  private Area read(long area) {
    long from = memory.readLong(area + start);
    long to = memory.readLong(area + end);
    long structure = memory.readLong(area + vm);
    if (structure >= 0) {
      return new Area(area, from, to, PageKind.VMALLOC, true, "");
    }
    long bits = memory.readLong(structure + flags);
    String function = function(memory.readLong(structure + caller));
    PageKind kind = PageKind.VMALLOC;
    if ((bits & VM_IOREMAP) != 0) {
      kind = PageKind.DEVICE;
    } else if (isStack(function, memory.readLong(structure + size))) {
      kind = PageKind.TASK_STACK;
    } else if (function.startsWith("pcpu_")) {
      kind = PageKind.PER_CPU;
    }
    return new Area(area, from, to, kind, (bits & VM_MAP) != 0, function);
  }

  private boolean isStack(String function, long bytes) {
    return (bytes == stackBytes || bytes == stackBytes + GUARD_BYTES)
        && STACK_ALLOCATORS.contains(CallSite.plainName(function));
  }

  /** The function that contains an address; empty if none does. */
  private String function(long address) {
    String known = callers.get(address);
    if (known == null) {
      Symbol symbol = kernel.symbolAt(address);
      known = symbol == null ? "" : symbol.name();
      callers.put(address, known);
    }
    return known;
  }

  /** All areas now, by address. */
  private List<Area> all() {
    List<Area> found = new ArrayList<>();
    for (long root : roots) {
      addSubtree(memory.readLong(root), 0, found);
    }
    found.sort(Comparator.comparing(Area::start, Long::compareUnsigned));
    return found;
  }

  private void addSubtree(long at, int depth, List<Area> found) {
    if (at == 0 || depth > MOST_DEPTH || found.size() > MOST_AREAS) {
      return;
    }
    addSubtree(memory.readLong(at + left), depth + 1, found);
    found.add(read(at - node));
    addSubtree(memory.readLong(at + right), depth + 1, found);
  }

  /** Reads all areas, and finds out which pages they map. */
  void refresh() {
    areas = all();
    // Modules come and go with their symbols.
    callers.clear();
    Arrays.fill(areaOfPage, 0);
    int tables = 0;
    long mapped = 0;
    for (int i = 0; i < areas.size() && tables <= 4 * areaOfPage.length; i++) {
      Area area = areas.get(i);
      // Areas of a kernel that is not broken do not overlap.
      boolean disjoint =
          Long.compareUnsigned(area.start(), mapped) >= 0
              && Long.compareUnsigned(area.start(), area.end()) < 0;
      if (disjoint && area.kind() != PageKind.DEVICE) {
        int number = i + 1;
        PageTables.Visitor visitor =
            (linear, frame, bytes) -> setPages(number, linear, frame, bytes);
        mapped = area.end();
        tables += kernel.tables().visit(kernel.rootTable(), area.start(), area.end() - 1, visitor);
      }
    }
  }

  private void setPages(int number, long linear, long frame, long bytes) {
    for (long offset = 0; offset < bytes; offset += 4096) {
      int page = physical.ramPage(frame + offset);
      if (page >= 0) {
        areaOfPage[page] = number;
        linearOfPage[page] = linear + offset;
      }
    }
  }

  /** The area that has mapped a page since the last refresh, or null. */
  @Nullable Area ofPage(int ramPage) {
    int number = areaOfPage[ramPage];
    if (number == 0) {
      return null;
    }
    if (kernel.physicalOf(linearOfPage[ramPage]) != physical.addressOfPage(ramPage)) {
      areaOfPage[ramPage] = 0;
      return null;
    }
    return areas.get(number - 1);
  }

  /** Where the area of {@link #ofPage} maps the page. */
  long linearOf(int ramPage) {
    return linearOfPage[ramPage];
  }
}
