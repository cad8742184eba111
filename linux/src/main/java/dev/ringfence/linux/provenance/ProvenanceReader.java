package dev.ringfence.linux.provenance;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.running.KernelLayout;
import dev.ringfence.linux.running.LoadedModule;
import dev.ringfence.linux.running.PageTables;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.running.Task;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Tells what pages of a running kernel are, from its own structures and from the allocations that
 * were seen. A page is what its use is, through whatever address it is reached: a page of a file is
 * that in the direct map too.
 *
 * <p>{@link #kindOfPage} and {@link #ownerOfPage} are for scans of all memory: they allocate
 * nothing. Names are for people and cost more.
 */
public final class ProvenanceReader {
  /** Low bits of the field mapping: what it points to (include/linux/page-flags.h). */
  private static final long MAPPING_BITS = 3;

  private static final long MAPPING_ANONYMOUS = 1;
  private static final long MAPPING_KSM = 3;

  private static final int MOST_NAME = 128;

  /** More slab caches than any kernel has: the end of walks over a broken list. */
  private static final int MOST_CACHES = 10_000;

  /** Largest order of a block in the page allocator (MAX_ORDER). */
  private static final int MOST_ORDER = 10;

  /** Entries of the top table that belong to user mode, on x86-64 with four levels. */
  private static final int USER_ENTRIES = 256;

  /** Fixed addresses that are named (arch/x86/include/asm/fixmap.h). */
  private static final List<String> FIXED_ADDRESSES =
      List.of("VSYSCALL_PAGE", "FIX_APIC_BASE", "FIX_IO_APIC_BASE_0", "FIX_TEXT_POKE0");

  private final RunningKernel kernel;
  private final AllocationTracker tracker;
  private final KernelMemory memory;
  private final PhysicalMemory physical;
  private final KernelLayout layout;
  private final PageArray pages;
  private final PageTypes types;
  private final BootMemory boot;
  private final VirtualAreas areas;
  private final PageOwners owners;
  private final FileNames files;
  private final int operations;
  private final int cacheName;
  private final int cacheSize;
  private final int cacheList;
  private final int tableMm;

  /** Operations of address spaces that are not page cache of files; 0 if the kernel has none. */
  private final long sharedMemory;

  private final long hugePages;
  private final long secretMemory;

  /** Tables that have no mark of their own, as of the last {@link #refresh}. */
  private final BitSet unmarkedTables;

  /** Owners of kernel stacks by lowest address, as of the last refresh. */
  private final Map<Long, Task> stacks = new HashMap<>();

  private final Map<Long, CacheName> cacheNames = new HashMap<>();

  /** By page of struct cpu_entry_area, as far as they were asked for. */
  private final @Nullable String[] entryAreaNames;

  /** A slab cache's name, with the pointer by which it was read. */
  private record CacheName(long pointer, String name) {}

  /**
   * For a kernel.
   *
   * @param tracker of the same kernel; one that was not started knows of no allocation, and pages
   *     that carry no mark are then kernel allocations
   * @throws dev.ringfence.machine.BadInputException if the kernel lacks a symbol, type or field
   *     that is needed
   */
  public ProvenanceReader(RunningKernel kernel, AllocationTracker tracker) {
    this.kernel = kernel;
    this.tracker = tracker;
    memory = kernel.memory();
    physical = kernel.machine().memory();
    layout = kernel.layout();
    pages = new PageArray(kernel);
    types = pages.types();
    boot = new BootMemory(kernel);
    areas = new VirtualAreas(kernel);
    owners = new PageOwners(kernel);
    files = new FileNames(kernel);
    TypeTable fields = kernel.types();
    operations = fields.offsetOf("address_space", "a_ops");
    cacheName = fields.offsetOf("kmem_cache", "name");
    cacheSize = fields.offsetOf("kmem_cache", "size");
    cacheList = fields.offsetOf("kmem_cache", "list");
    tableMm =
        fields.has("ptdesc", "pt_mm")
            ? fields.offsetOf("ptdesc", "pt_mm")
            : fields.offsetOf("page", "pt_mm");
    SymbolTable symbols = kernel.symbols();
    sharedMemory = symbols.address("shmem_aops").orElse(0);
    hugePages = symbols.address("hugetlbfs_aops").orElse(0);
    secretMemory = symbols.address("secretmem_aops").orElse(0);
    entryAreaNames = new String[Math.max(1, fields.sizeOf("cpu_entry_area") >>> 12)];
    unmarkedTables = new BitSet(physical.ramPages());
    refresh();
  }

  /**
   * Reads again what is found by walks only: which pages vmalloc areas have, page tables without a
   * mark, and whose the kernel stacks are. Done now and then, and before a scan of all memory, it
   * makes the answers for single pages finer; no answer is wrong without it, only less exact.
   */
  public void refresh() {
    areas.refresh();
    stacks.clear();
    unmarkedTables.clear();
    PageTables.Visitor visitor =
        new PageTables.Visitor() {
          @Override
          public void table(long address) {
            setTable(address);
          }

          @Override
          public void page(long linear, long address, long bytes) {}
        };
    kernel.tables().visit(kernel.rootTable(), layout.vmalloc(), -1, visitor);
    for (Task task : kernel.tasks()) {
      stacks.put(task.stack(), task);
      if (task.mm() != 0) {
        setTopTables(kernel.pgdPhysical(task.mm()));
      }
    }
  }

  private void setTable(long address) {
    int page = physical.ramPage(address);
    if (page >= 0) {
      unmarkedTables.set(page);
    }
  }

  /** Tables of the two top levels of a process: those below are marked. */
  private void setTopTables(long top) {
    if (top < 0 || physical.ramPage(top) < 0) {
      return;
    }
    setTable(top);
    for (int i = 0; i < USER_ENTRIES; i++) {
      long entry = physical.readLong(top + 8L * i);
      if ((entry & PageTables.PRESENT) != 0) {
        setTable(entry & 0x000f_ffff_ffff_f000L);
      }
    }
  }

  /** Number of page frames up to the end of RAM, holes included. */
  public long pages() {
    return pages.pages();
  }

  /** What a page is used for. */
  public PageKind kindOfPage(long pfn) {
    int page = physical.ramPage(pfn << 12);
    if (page < 0) {
      return PageKind.DEVICE;
    }
    if (!pages.exists(pfn)) {
      return PageKind.RESERVED;
    }
    long flags = pages.flags(pfn);
    if (pages.isReserved(flags)) {
      return boot.kind(page);
    }
    long head = pages.head(pfn);
    PageKind marked = marked(head, head == pfn ? flags : pages.flags(head));
    if (marked == null) {
      return unmarked(pfn, head, page);
    }
    boolean memory = marked == PageKind.ANONYMOUS || marked == PageKind.SHARED_MEMORY;
    return memory && tracker.isReachedByMachine(pfn) ? PageKind.GUEST_MEMORY : marked;
  }

  /** By the struct page of the first page of a compound page. */
  private @Nullable PageKind marked(long head, long flags) {
    int type = pages.pageType(head);
    if (types.isSlab(flags, type)) {
      return PageKind.SLAB;
    }
    if (types.isBuddy(type)) {
      return PageKind.FREE;
    }
    if (types.isTable(type)) {
      return PageKind.PAGE_TABLE;
    }
    if (types.isLargeKmalloc(type)) {
      return PageKind.LARGE_KMALLOC;
    }
    long mapping = pages.mapping(head);
    long bits = mapping & MAPPING_BITS;
    if (bits == MAPPING_ANONYMOUS || bits == MAPPING_KSM) {
      return PageKind.ANONYMOUS;
    }
    return bits == 0 && mapping != 0 ? inAddressSpace(mapping, flags) : null;
  }

  private @Nullable PageKind inAddressSpace(long mapping, long flags) {
    KernelLayout.Region region = layout.region(mapping);
    if (region != KernelLayout.Region.DIRECT_MAP
        && region != KernelLayout.Region.IMAGE
        && region != KernelLayout.Region.VMALLOC) {
      // Some other use of the field.
      return null;
    }
    long ops = memory.readLong(mapping + operations);
    if (ops == 0) {
      return null;
    }
    boolean shared =
        sharedMemory == 0
            ? pages.isSwapBacked(flags)
            : ops == sharedMemory || ops == hugePages || ops == secretMemory;
    return shared ? PageKind.SHARED_MEMORY : PageKind.PAGE_CACHE;
  }

  private PageKind unmarked(long pfn, long head, int page) {
    boolean seen = tracker.isAllocated(pfn);
    // Pages behind the first of an allocation that is not compound have no reference either.
    if (pages.references(head) == 0 && (!seen || isInFreeBlock(pfn))) {
      return PageKind.FREE;
    }
    CallSite site = seen ? tracker.site(pfn) : null;
    if (site != null && site.kind() != PageKind.KERNEL_ALLOCATION) {
      return site.kind() == PageKind.VMALLOC ? inArea(page) : site.kind();
    }
    if (site != null) {
      return tracker.isUser(pfn) ? PageKind.USER_ALLOCATION : PageKind.KERNEL_ALLOCATION;
    }
    if (unmarkedTables.get(page)) {
      return PageKind.PAGE_TABLE;
    }
    return areas.ofPage(page) == null ? PageKind.KERNEL_ALLOCATION : inArea(page);
  }

  private boolean isInFreeBlock(long pfn) {
    for (int order = 0; order <= MOST_ORDER; order++) {
      long first = pfn & -(1L << order);
      if (types.isBuddy(pages.pageType(first))) {
        return pages.privateValue(first) >= order;
      }
    }
    return false;
  }

  private PageKind inArea(int page) {
    VirtualAreas.Area area = areas.ofPage(page);
    if (area == null || area.kind() == PageKind.DEVICE) {
      return PageKind.VMALLOC;
    }
    return area.kind() == PageKind.VMALLOC && kernel.moduleAt(areas.linearOf(page)) != null
        ? PageKind.MODULE
        : area.kind();
  }

  /**
   * The process that a page belongs to, if it is only one.
   *
   * @return address of the struct mm_struct; 0 if it belongs to the kernel, to several or to none
   */
  public long ownerOfPage(long pfn) {
    return owner(pfn, kindOfPage(pfn));
  }

  private long owner(long pfn, PageKind kind) {
    return switch (kind) {
      case ANONYMOUS -> {
        long head = pages.head(pfn);
        long mapping = pages.mapping(head);
        yield (mapping & MAPPING_BITS) == MAPPING_ANONYMOUS
            ? owners.owner(mapping - MAPPING_ANONYMOUS, pages.index(head) + pfn - head, pfn << 12)
            : 0;
      }
      case GUEST_MEMORY -> tracker.machineOwner(pfn);
      case PAGE_TABLE -> {
        // Only top tables know.
        long mm = pages.readLong(pfn, tableMm);
        yield mm < 0 && kernel.pgdPhysical(mm) == pfn << 12 ? mm : 0;
      }
      case TASK_STACK -> {
        VirtualAreas.Area area = areas.ofPage(physical.ramPage(pfn << 12));
        yield area == null ? 0 : stackOwner(area.start());
      }
      default -> 0;
    };
  }

  /**
   * The process whose stack it is; 0 if its task is not known, or is no longer that of the stack.
   */
  private long stackOwner(long stack) {
    Task task = stacks.get(stack);
    return task == null || kernel.stackOf(task.address()) != stack
        ? 0
        : kernel.mmOf(task.address());
  }

  /** Whether a page was allocated for user data, or is user data by its kind. */
  public boolean isUserPage(long pfn) {
    return isUser(pfn, kindOfPage(pfn));
  }

  private boolean isUser(long pfn, PageKind kind) {
    return switch (kind) {
      case ANONYMOUS, SHARED_MEMORY, GUEST_MEMORY, USER_ALLOCATION -> true;
      case PAGE_CACHE -> !tracker.isKnown(pfn) || tracker.isUser(pfn);
      default -> tracker.isUser(pfn);
    };
  }

  /** What a page is. */
  public Provenance ofPage(long pfn) {
    PageKind kind = kindOfPage(pfn);
    return new Provenance(kind, nameOfPage(pfn, kind), owner(pfn, kind), isUser(pfn, kind));
  }

  private String nameOfPage(long pfn, PageKind kind) {
    return switch (kind) {
      case SLAB -> cacheName(pages.slabCache(pages.head(pfn)));
      case PAGE_CACHE, SHARED_MEMORY -> files.of(pages.mapping(pages.head(pfn)));
      case VMALLOC, TASK_STACK, PER_CPU, MODULE -> nameInArea(pfn, kind);
      case KERNEL_ALLOCATION, USER_ALLOCATION, LARGE_KMALLOC -> functionThatAllocated(pfn);
      default -> "";
    };
  }

  private String functionThatAllocated(long pfn) {
    CallSite site = tracker.isAllocated(pfn) ? tracker.site(pfn) : null;
    return site == null ? "" : site.function();
  }

  private String nameInArea(long pfn, PageKind kind) {
    int page = physical.ramPage(pfn << 12);
    VirtualAreas.Area area = areas.ofPage(page);
    if (area == null) {
      return kind == PageKind.VMALLOC ? functionThatAllocated(pfn) : "";
    }
    return kind == PageKind.MODULE ? moduleName(areas.linearOf(page)) : nameOf(area, kind);
  }

  private static String nameOf(VirtualAreas.Area area, PageKind kind) {
    return kind == PageKind.TASK_STACK ? "" : area.caller();
  }

  private String moduleName(long linear) {
    LoadedModule module = kernel.moduleAt(linear);
    return module == null ? "" : module.name();
  }

  private String cacheName(long cache) {
    if (cache >= 0) {
      return "";
    }
    long pointer = memory.readLong(cache + cacheName);
    CacheName known = cacheNames.get(cache);
    if (known == null || known.pointer != pointer) {
      known = new CacheName(pointer, kernel.string(pointer, MOST_NAME));
      cacheNames.put(cache, known);
    }
    return known.name;
  }

  /**
   * A number that stays the same as long as nothing is known to have changed about what a page is:
   * its marks, what it belongs to, its latest allocation. It is cheaper than {@link #ofPage}.
   *
   * @param pfn frame number
   */
  public long signature(long pfn) {
    long head = pages.head(pfn);
    long flags = pages.flags(head);
    int type = pages.pageType(head);
    long sum = pages.mapping(head);
    sum = 31 * sum + (type < 0 ? type : 0);
    sum = 31 * sum + (types.isSlab(flags, type) ? pages.slabCache(head) : 0);
    sum = 31 * sum + (pages.references(head) == 0 ? 1 : 0);
    sum = 31 * sum + (pages.isReserved(flags) ? 1 : 0);
    return 31 * sum + tracker.allocation(pfn) + (tracker.isReachedByMachine(pfn) ? 1L << 40 : 0);
  }

  /**
   * An object of a slab cache.
   *
   * @param cache name of the cache
   * @param offset of the address in its object, in bytes
   * @param size of the cache's objects as they lie in memory, in bytes
   */
  public record SlabObject(String cache, int offset, int size) {}

  /**
   * The slab object at an address of the direct map, or null if there is none.
   *
   * @param pfn frame number of the page it lies in
   */
  public @Nullable SlabObject slabObject(long linear, long pfn) {
    long head = pages.head(pfn);
    if (!types.isSlab(pages.flags(head), pages.pageType(head))) {
      return null;
    }
    long cache = pages.slabCache(head);
    int size = cache < 0 ? memory.readInt(cache + cacheSize) : 0;
    if (size <= 0) {
      return null;
    }
    long offset = linear - (layout.directMap() + (head << 12));
    return new SlabObject(cacheName(cache), (int) (offset % size), size);
  }

  /** Names of all slab caches. */
  public Set<String> slabCaches() {
    Set<String> names = new TreeSet<>();
    long list = kernel.symbols().address("slab_caches").orElse(0);
    for (long at = memory.readLong(list);
        at != list && at < 0 && names.size() < MOST_CACHES;
        at = memory.readLong(at)) {
      names.add(cacheName(at - cacheList));
    }
    return names;
  }

  /**
   * Where in its file a page of the page cache or of shared memory is.
   *
   * @return offset in bytes; empty for other pages
   */
  public OptionalLong fileOffset(long pfn) {
    PageKind kind = kindOfPage(pfn);
    if (kind != PageKind.PAGE_CACHE && kind != PageKind.SHARED_MEMORY) {
      return OptionalLong.empty();
    }
    long head = pages.head(pfn);
    return OptionalLong.of(pages.index(head) + pfn - head << 12);
  }

  /**
   * What an address of the kernel half is.
   *
   * @param linear an address in the upper half
   * @param physicalAddress what it is mapped to
   */
  public Provenance of(long linear, long physicalAddress) {
    long pfn = physicalAddress >>> 12;
    return switch (layout.region(linear)) {
      case IMAGE -> inImage(linear, pfn);
      case MODULES -> inModules(linear, pfn);
      case VMALLOC -> inVmalloc(linear, pfn);
      case VMEMMAP -> new Provenance(PageKind.VMEMMAP, "", 0, false);
      case CPU_ENTRY_AREA ->
          new Provenance(PageKind.CPU_ENTRY_AREA, entryAreaName(linear), 0, false);
      case FIXMAP ->
          new Provenance(
              physical.ramPage(physicalAddress) < 0 ? PageKind.DEVICE : PageKind.FIXMAP,
              fixmapName(linear),
              0,
              false);
      case DIRECT_MAP -> inDirectMap(linear, pfn);
      case OTHER, USER -> ofPage(pfn);
    };
  }

  private Provenance inDirectMap(long linear, long pfn) {
    Provenance page = ofPage(pfn);
    if (page.kind() == PageKind.PER_CPU && page.name().isEmpty()) {
      return new Provenance(PageKind.PER_CPU, perCpuName(linear), 0, page.user());
    }
    return page;
  }

  /**
   * The variable of the image that a copy in the first per-CPU chunk is of; {@code dynamic} for
   * what follows them there, which is for allocations (PERCPU_DYNAMIC_RESERVE).
   */
  private String perCpuName(long linear) {
    SymbolTable symbols = kernel.symbols();
    OptionalLong first = symbols.address("__per_cpu_start");
    OptionalLong end = symbols.address("__per_cpu_end");
    if (first.isEmpty() || end.isEmpty()) {
      return "";
    }
    for (int cpu = 0; cpu < kernel.machine().processors().size(); cpu++) {
      long variable = linear - (kernel.perCpu("__per_cpu_start", cpu) - first.getAsLong());
      if (Long.compareUnsigned(variable - first.getAsLong(), end.getAsLong() - first.getAsLong())
          < 0) {
        return perCpuVariable(variable);
      }
    }
    return "dynamic";
  }

  private String perCpuVariable(long variable) {
    String name = "";
    for (Symbol symbol : kernel.symbols().all()) {
      if (Long.compareUnsigned(symbol.address(), variable) > 0) {
        break;
      }
      name = symbol.name();
    }
    return name;
  }

  private Provenance inImage(long linear, long pfn) {
    int page = physical.ramPage(pfn << 12);
    // Init code and other parts of the image that were given back are anything now.
    if (page < 0 || !pages.isReserved(pages.flags(pfn))) {
      return ofPage(pfn);
    }
    Symbol symbol = kernel.symbols().at(linear);
    return new Provenance(boot.kind(page), symbol == null ? "" : symbol.name(), 0, false);
  }

  private Provenance inModules(long linear, long pfn) {
    LoadedModule module = kernel.moduleAt(linear);
    return module == null
        ? inVmalloc(linear, pfn)
        : new Provenance(PageKind.MODULE, module.name(), 0, tracker.isUser(pfn));
  }

  private Provenance inVmalloc(long linear, long pfn) {
    VirtualAreas.Area area = areas.at(linear);
    if (area == null) {
      return ofPage(pfn);
    }
    int page = physical.ramPage(pfn << 12);
    if (page < 0) {
      return new Provenance(PageKind.DEVICE, area.caller(), 0, false);
    }
    if (area.borrowed()) {
      PageKind kind = kindOfPage(pfn);
      if (kind != PageKind.KERNEL_ALLOCATION && kind != PageKind.VMALLOC) {
        Provenance known = ofPage(pfn);
        return known.name().isEmpty()
            ? new Provenance(kind, area.caller(), known.owner(), known.user())
            : known;
      }
    }
    PageKind kind = area.kind() == PageKind.DEVICE ? PageKind.VMALLOC : area.kind();
    long owner = kind == PageKind.TASK_STACK ? stackOwner(area.start()) : 0;
    return new Provenance(kind, nameOf(area, kind), owner, tracker.isUser(pfn));
  }

  /** Which member of a processor's struct cpu_entry_area an address lies in; all are pages. */
  private String entryAreaName(long linear) {
    // The first page is the IDT; the areas of the processors follow, at random places since 6.2.
    long page = (linear - KernelLayout.CPU_ENTRY_AREA >>> 12) - 1;
    if (page < 0) {
      return "idt";
    }
    int inArea = (int) (page % entryAreaNames.length);
    String name = entryAreaNames[inArea];
    if (name == null) {
      String path = kernel.types().fieldAt("cpu_entry_area", inArea << 12);
      name = path.split("[.\\[]", 2)[0];
      entryAreaNames[inArea] = name;
    }
    return name;
  }

  private String fixmapName(long linear) {
    long number = KernelLayout.FIXMAP_TOP - linear + 4095 >>> 12;
    for (String name : FIXED_ADDRESSES) {
      OptionalLong value = kernel.types().enumValue(name);
      if (value.isPresent() && value.getAsLong() == number) {
        return name;
      }
    }
    return "";
  }
}
