package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.policy.KernelNames;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.provenance.AllocationHistory;
import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.linux.provenance.ProvenanceReader;
import dev.ringfence.linux.running.LoadedModule;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.running.Task;
import dev.ringfence.linux.stack.OrcTable;
import dev.ringfence.linux.stack.StackUnwinder;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** A running Linux, as the monitor wants it. */
public final class LinuxKernel implements KernelView {
  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  /**
   * Top tables come in pairs if the kernel can isolate its page tables: the second is the user's.
   */
  private static final long USER_TABLES = 0x1000;

  /** TASK_DEAD of include/linux/sched.h. */
  private static final int TASK_DEAD = 0x80;

  /** What begins behind the last per-CPU variable of the image: room for allocations. */
  private static final String DYNAMIC = "dynamic";

  /** Types of slab caches whose name is not that of the type, nor of the type and "_cache". */
  private static final Map<String, String> CACHE_TYPES =
      Map.ofEntries(
          Map.entry("filp", "file"),
          Map.entry("files_cache", "files_struct"),
          Map.entry("signal_cache", "signal_struct"),
          Map.entry("sighand_cache", "sighand_struct"),
          Map.entry("cred_jar", "cred"),
          Map.entry("skbuff_head_cache", "sk_buff"),
          Map.entry("skbuff_fclone_cache", "sk_buff_fclones"),
          Map.entry("sock_inode_cache", "socket_alloc"),
          Map.entry("shmem_inode_cache", "shmem_inode_info"),
          Map.entry("ext4_inode_cache", "ext4_inode_info"),
          Map.entry("proc_inode_cache", "proc_inode"),
          Map.entry("kernfs_node_cache", "kernfs_node"),
          Map.entry("radix_tree_node", "xa_node"),
          Map.entry("mnt_cache", "mount"),
          Map.entry("UNIX", "unix_sock"),
          Map.entry("TCP", "tcp_sock"),
          Map.entry("UDP", "udp_sock"),
          Map.entry("uts_namespace", "uts_namespace"),
          Map.entry("eventpoll_epi", "epitem"),
          Map.entry("eventpoll_pwq", "eppoll_entry"),
          Map.entry("dentry", "dentry"),
          Map.entry("maple_node", "maple_node"));

  private final RunningKernel kernel;
  private final AllocationTracker tracker;
  private final ProvenanceReader reader;
  private final StackUnwinder unwinder;
  private final long ownRoot;
  private final long initMm;
  private final long userTables;
  private final int taskState;
  private final long switchTo;
  private final long systemCalls;
  private final Map<Integer, String> systemCallNames = new HashMap<>();

  /** Tasks that have run, by the lowest address of their stack. */
  private final Map<Long, Long> taskOfStack = new HashMap<>();

  private final Map<Long, String> functions = new HashMap<>();
  private final Map<String, String> cacheTypes = new HashMap<>();

  /**
   * Connects to the kernel that runs in a machine, and begins to note who allocates which page:
   * best when the kernel has just come up ({@link RunningKernel#isUp}), as pages without a mark of
   * their own are known by their allocation only.
   *
   * @param image that was booted
   * @throws dev.ringfence.machine.BadInputException if the kernel cannot be read
   */
  public LinuxKernel(KernelImage image, Machine machine) {
    this(image, machine, null);
  }

  /**
   * Connects to the kernel that runs in a machine, with what an earlier view of it knew at this
   * point of allocations.
   *
   * @param image that was booted
   * @param allocations of the earlier view; null if there was none
   * @throws dev.ringfence.machine.BadInputException if the kernel cannot be read
   */
  public LinuxKernel(KernelImage image, Machine machine, @Nullable AllocationHistory allocations) {
    kernel = RunningKernel.of(image, machine);
    tracker = new AllocationTracker(kernel);
    reader = new ProvenanceReader(kernel, tracker);
    unwinder =
        new StackUnwinder(
            OrcTable.of(image).map(table -> table.relocated(kernel.slide())).orElse(null),
            kernel.symbols());
    ownRoot = kernel.rootTable();
    initMm = kernel.symbols().require("init_mm");
    userTables = kernel.symbols().find("pti_init") == null ? 0 : USER_TABLES;
    TypeTable types = kernel.types();
    taskState =
        types.offsetOf("task_struct", types.has("task_struct", "__state") ? "__state" : "state");
    switchTo = kernel.physicalOf(kernel.symbols().require("__switch_to"));
    systemCalls = kernel.symbols().address("sys_call_table").orElse(0);
    tracker.start();
    if (allocations != null) {
      tracker.adopt(allocations);
    }
  }

  /** What is known of allocations now. */
  public AllocationHistory allocations() {
    return tracker.history();
  }

  /** The kernel, for more. */
  public RunningKernel running() {
    return kernel;
  }

  /** What pages are, for more. */
  public ProvenanceReader reader() {
    return reader;
  }

  /** Names against which policies are checked. */
  public KernelNames names() {
    Set<String> symbols = new TreeSet<>();
    for (Symbol symbol : kernel.symbols().all()) {
      symbols.add(symbol.name());
    }
    return new KernelNames(reader.slabCaches(), symbols);
  }

  @Override
  public Provenance provenance(long linear, long physical) {
    Provenance known = reader.of(linear, physical);
    return known.kind() == PageKind.TASK_STACK && known.owner() == 0
        ? ofStack(linear, known)
        : known;
  }

  /** The stack of a task that the reader has not met yet: whoever has run is known. */
  private Provenance ofStack(long linear, Provenance known) {
    // Stacks are aligned to their size (THREAD_ALIGN).
    long stack = linear & -kernel.stackBytes();
    Long task = taskOfStack.get(stack);
    return task == null || kernel.stackOf(task) != stack
        ? known
        : new Provenance(PageKind.TASK_STACK, known.name(), kernel.mmOf(task), known.user());
  }

  @Override
  public Provenance provenanceOfFrame(long frame) {
    return reader.ofPage(frame);
  }

  @Override
  public long signature(long frame) {
    return reader.signature(frame);
  }

  @Override
  public void refresh() {
    reader.refresh();
  }

  @Override
  public List<String> symbolsOn(long linear, PageKind kind) {
    long page = PageAddress.of(linear);
    return switch (kind) {
      case TEXT, RODATA, DATA, BSS -> symbolsBetween(imageAddress(page), PageAddress.BYTES);
      case PER_CPU -> perCpuSymbols(page);
      default -> List.of();
    };
  }

  /** The address of a page in the image, for one that is seen through the direct map. */
  private long imageAddress(long page) {
    long image = kernel.symbols().start();
    long offset = page - kernel.layout().directMap() - kernel.physicalOf(image);
    return offset >= 0 && offset < kernel.symbols().end() - image ? image + offset : page;
  }

  private List<String> symbolsBetween(long start, long bytes) {
    List<Symbol> all = kernel.symbols().all();
    int low = 0;
    int high = all.size();
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (Long.compareUnsigned(all.get(middle).address(), start) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    List<String> names = new ArrayList<>();
    // Symbols before, several at one address perhaps, may reach into the range.
    int first = Math.max(0, low - 1);
    while (first > 0 && all.get(first - 1).address() == all.get(first).address()) {
      first--;
    }
    for (int i = first;
        i < all.size() && Long.compareUnsigned(all.get(i).address(), start + bytes) < 0;
        i++) {
      names.add(all.get(i).name());
    }
    return names;
  }

  private List<String> perCpuSymbols(long page) {
    OptionalLong first = kernel.symbols().address("__per_cpu_start");
    OptionalLong end = kernel.symbols().address("__per_cpu_end");
    OptionalLong unit = kernel.symbols().address("pcpu_unit_size");
    if (first.isEmpty() || end.isEmpty()) {
      return List.of();
    }
    long variables = end.getAsLong() - first.getAsLong();
    long area = unit.isEmpty() ? 0 : kernel.memory().readInt(unit.getAsLong());
    for (int cpu = 0; cpu < kernel.machine().processors().size(); cpu++) {
      long offset = page - kernel.perCpu("__per_cpu_start", cpu);
      if (offset > -PageAddress.BYTES && offset < variables) {
        List<String> names = symbolsBetween(first.getAsLong() + offset, PageAddress.BYTES);
        if (offset + PageAddress.BYTES > variables) {
          names.add(DYNAMIC);
        }
        return names;
      }
      if (offset >= variables && offset < area) {
        return List.of(DYNAMIC);
      }
    }
    return List.of();
  }

  @Override
  public Datum describe(long linear, Provenance provenance) {
    String type = "";
    String field = "";
    if (provenance.kind() == PageKind.SLAB) {
      long physical = kernel.physicalOf(linear);
      ProvenanceReader.SlabObject object =
          physical < 0 ? null : reader.slabObject(linear, PageAddress.frame(physical));
      if (object != null) {
        type = cacheTypes.computeIfAbsent(object.cache(), this::typeOf);
        if (!type.isEmpty() && object.offset() < kernel.types().sizeOf(type)) {
          field = kernel.types().fieldAt(type, object.offset());
        }
      }
    }
    return new Datum(provenance.kind(), provenance.name(), type, field, provenance.user());
  }

  @Override
  public @Nullable ObjectOffset offset(long linear, long frame, PageKind kind) {
    return switch (kind) {
      case PAGE_CACHE, SHARED_MEMORY -> {
        OptionalLong page = reader.fileOffset(frame);
        yield page.isEmpty()
            ? null
            : new ObjectOffset(page.getAsLong() + PageAddress.offset(linear), 0);
      }
      case SLAB -> {
        // By the direct map, at which slabs lie, whatever address the access went by.
        ProvenanceReader.SlabObject object =
            reader.slabObject(directMap(frame) + PageAddress.offset(linear), frame);
        yield object == null ? null : new ObjectOffset(object.offset(), object.size());
      }
      default -> null;
    };
  }

  private String typeOf(String cache) {
    String known = CACHE_TYPES.getOrDefault(cache, cache);
    for (String candidate : List.of(known, known.replaceFirst("_cache(p)?$", ""))) {
      if (kernel.types().hasStruct(candidate)) {
        return candidate;
      }
    }
    return "";
  }

  @Override
  public long directMap(long frame) {
    return kernel.layout().directMap() + (frame << 12);
  }

  @Override
  public String region(long linear) {
    return switch (kernel.layout().region(linear)) {
      case DIRECT_MAP -> "direct map";
      case VMALLOC -> "vmalloc";
      case VMEMMAP -> "vmemmap";
      case CPU_ENTRY_AREA -> "CPU entry area";
      case IMAGE -> "kernel image";
      case MODULES -> "modules";
      case FIXMAP -> "fixmap";
      case OTHER, USER -> "other";
    };
  }

  @Override
  public int unwind(Processor processor, long[] frames) {
    ProcessorState state = processor.state();
    return unwinder.unwind(
        kernel.memory(), state.rip, state.r[Slot.RSP], state.r[Slot.RBP], frames);
  }

  @Override
  public String function(long address) {
    return functions.computeIfAbsent(address, this::findFunction);
  }

  private String findFunction(long address) {
    Symbol symbol = kernel.symbolAt(address);
    if (symbol == null) {
      return "0x%x".formatted(address);
    }
    LoadedModule module = kernel.moduleAt(address);
    return module == null ? symbol.name() : symbol.name() + " [" + module.name() + "]";
  }

  @Override
  public long addressSpace(long cr3) {
    return cr3 & FRAME & ~userTables;
  }

  @Override
  public long mm(long addressSpace) {
    if (addressSpace == ownRoot) {
      return 0;
    }
    long mm = kernel.mmOfCr3(addressSpace);
    return mm == initMm ? 0 : mm;
  }

  @Override
  public long currentTask(ProcessorState state, int processor) {
    return kernel.currentTask(processor);
  }

  @Override
  public long mmOfTask(long task) {
    return kernel.mmOf(task);
  }

  @Override
  public GuestProcess process(long task) {
    Task leader = kernel.task(kernel.leaderOf(task));
    return new GuestProcess(leader.processId(), leader.name());
  }

  @Override
  public long stack(long task) {
    return kernel.stackOf(task);
  }

  @Override
  public int stackBytes() {
    return kernel.stackBytes();
  }

  @Override
  public void observe(TaskListener tasks, AllocationTracker.Listener listener) {
    kernel
        .machine()
        .probes()
        .setCodeProbe(
            switchTo,
            processor -> {
              long[] r = processor.state().r;
              long previous = r[Slot.RDI];
              boolean ended = (kernel.memory().readInt(previous + taskState) & TASK_DEAD) != 0;
              long next = r[Slot.RSI];
              taskOfStack.put(kernel.stackOf(next), next);
              tasks.switched(processor, previous, next, ended);
            });
    tracker.setListener(listener);
    for (int cpu = 0; cpu < kernel.machine().processors().size(); cpu++) {
      long running = kernel.currentTask(cpu);
      taskOfStack.put(kernel.stackOf(running), running);
    }
  }

  @Override
  public void release() {
    kernel.machine().probes().clearCodeProbe(switchTo);
    tracker.close();
  }

  @Override
  public String systemCall(int number) {
    return systemCallNames.computeIfAbsent(number, this::findSystemCall);
  }

  private String findSystemCall(int number) {
    if (systemCalls == 0) {
      return String.valueOf(number);
    }
    long entry = kernel.memory().readLong(systemCalls + 8L * number);
    Symbol symbol = entry == 0 ? null : kernel.symbols().at(entry);
    return symbol == null || symbol.address() != entry
        ? String.valueOf(number)
        : symbol.name().replaceFirst("^__(x64|do|se)_sys_", "");
  }
}
