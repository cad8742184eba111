package dev.ringfence.linux.running;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A Linux kernel that runs in a machine, read from outside: nothing is asked of the guest and
 * nothing changes in it. Read it while the machine stands still, or from a probe.
 *
 * <p>Kernels that work: x86-64, four levels of page tables, Linux 5.10 and later, with kallsyms of
 * all symbols (CONFIG_KALLSYMS_ALL) and BTF (CONFIG_DEBUG_INFO_BTF), as Debian builds them.
 * Structures change while the guest runs; every walk over a list or tree is bounded, and a field
 * that is not there reads as 0.
 */
public final class RunningKernel {
  /** KASLR moves the image in steps of CONFIG_PHYSICAL_ALIGN, 2 MiB or more. */
  private static final long SLIDE_STEP = 2L << 20;

  /** KASLR keeps the image within KERNEL_IMAGE_SIZE. */
  private static final long MOST_SLIDE = 1L << 30;

  /** KPTI: the tables of user mode follow those of the kernel (PTI_USER_PGTABLE_BIT). */
  private static final long USER_TABLES = 1L << 12;

  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  /** More tasks than a guest of ours has: the end of walks over a broken list. */
  private static final int MOST_TASKS = 100_000;

  /** THREAD_SIZE without KASAN (arch/x86/include/asm/page_64_types.h). */
  private static final int STACK_BYTES = 16 << 10;

  private static final int COMM_BYTES = 16;
  private static final int MOST_BANNER = 512;

  private final KernelImage image;
  private final Machine machine;
  private final PhysicalMemory physical;
  private final long slide;
  private final SymbolTable symbols;
  private final TypeTable types;
  private final PageTables tables;
  private final long root;
  private final KernelLayout layout;
  private final RunningMemory memory;
  private final LoadedModules modules;
  private final String banner;

  private final long perCpuOffsets;
  private final long perCpuBase;
  private final long perCpuBytes;
  private final long currentTask;
  private final long initMm;
  private final int pageBytes;
  private final int tableMm;
  private final TaskFields task;
  private final int mmPgd;

  /** Offsets in struct task_struct, and of the lists that connect tasks. */
  private record TaskFields(
      int pid,
      int tgid,
      int comm,
      int leader,
      int mm,
      int activeMm,
      int stack,
      int tasks,
      int threadNode,
      int signal,
      int threadHead) {
    static TaskFields of(TypeTable types) {
      String name = "task_struct";
      return new TaskFields(
          types.offsetOf(name, "pid"),
          types.offsetOf(name, "tgid"),
          types.offsetOf(name, "comm"),
          types.offsetOf(name, "group_leader"),
          types.offsetOf(name, "mm"),
          types.offsetOf(name, "active_mm"),
          types.offsetOf(name, "stack"),
          types.offsetOf(name, "tasks"),
          types.offsetOf(name, "thread_node"),
          types.offsetOf(name, "signal"),
          types.offsetOf("signal_struct", "thread_head"));
    }
  }

  private RunningKernel(KernelImage image, Machine machine) {
    this.image = image;
    this.machine = machine;
    physical = machine.memory();
    types = image.types();
    slide = slide(image, machine);
    symbols = image.symbols().relocated(slide);
    tables = new PageTables(physical);
    root = findRoot();
    layout = findLayout();
    memory = new RunningMemory(physical, tables, root, layout);
    banner = memory.string(symbols.require("linux_banner"), MOST_BANNER).strip();
    if (!banner.startsWith("Linux version " + image.release() + " ")) {
      throw new BadInputException(
          "%s: expected the kernel that runs in the machine, found Linux %s in the image and '%s'"
                  .formatted(image.name(), image.release(), banner)
              + " in memory; give the image that was booted");
    }
    perCpuOffsets = symbols.require("__per_cpu_offset");
    perCpuBase = memory.readLong(symbols.require("pcpu_base_addr"));
    perCpuBytes =
        (long) memory.readInt(symbols.require("pcpu_unit_size"))
            * memory.readInt(symbols.require("pcpu_nr_units"));
    currentTask = findCurrentTask();
    initMm = symbols.require("init_mm");
    pageBytes = types.sizeOf("page");
    // Linux 6.6 gave page tables a type of their own, over struct page.
    tableMm =
        types.has("ptdesc", "pt_mm")
            ? types.offsetOf("ptdesc", "pt_mm")
            : types.offsetOf("page", "pt_mm");
    task = TaskFields.of(types);
    mmPgd = types.offsetOf("mm_struct", "pgd");
    modules = new LoadedModules(memory, symbols, image);
  }

  /**
   * Connects to the kernel that runs in a machine.
   *
   * @param image the image that was booted
   * @throws BadInputException if the kernel is not up yet, is another one than the image, or lacks
   *     what is needed to read it
   */
  public static RunningKernel of(KernelImage image, Machine machine) {
    return new RunningKernel(image, machine);
  }

  /**
   * Whether the kernel has come as far as setting up its system call entry, before which {@link
   * #of} fails. The structures that tell what pages are exist from about then on; a caller that
   * wants them complete waits for the first process.
   */
  public static boolean isUp(Machine machine) {
    return machine.processors().getFirst().state().lstar != 0;
  }

  /** What KASLR added to the addresses of the image, in bytes: found by the system call entry. */
  private static long slide(KernelImage image, Machine machine) {
    long entry = image.symbols().require("entry_SYSCALL_64");
    long lstar = machine.processors().getFirst().state().lstar;
    if (lstar == 0) {
      throw new BadInputException(
          "%s: expected a kernel that is up, found one that has not set its system call entry yet"
              .formatted(image.name()));
    }
    long slide = lstar - entry;
    if (slide % SLIDE_STEP != 0 || slide < -MOST_SLIDE || slide > MOST_SLIDE) {
      throw new BadInputException(
          "%s: expected the kernel that runs in the machine, found its system call entry at %x"
                  .formatted(image.name(), lstar)
              + " and that of the image at %x; give the image that was booted".formatted(entry));
    }
    return slide;
  }

  /** Physical address of init_top_pgt, found by the tables that a processor uses now. */
  private long findRoot() {
    ProcessorState state = machine.processors().getFirst().state();
    long linear = symbols.require("init_top_pgt");
    long current = state.cr3 & FRAME;
    long found = tables.translate(current, linear);
    if (found < 0) {
      // In user mode under KPTI.
      found = tables.translate(current & ~USER_TABLES, linear);
    }
    if (found < 0 || tables.translate(found, linear) != found) {
      throw new BadInputException(
          "%s: expected the page tables of the kernel that runs in the machine at %x, found nothing"
                  .formatted(image.name(), linear)
              + " mapped there; give the image that was booted");
    }
    return found;
  }

  private KernelLayout findLayout() {
    long lastRamPage = physical.addressOfPage(physical.ramPages() - 1);
    return new KernelLayout(
        base("page_offset_base", 0xffff_8880_0000_0000L),
        lastRamPage + 4096,
        base("vmalloc_base", 0xffff_c900_0000_0000L),
        base("vmemmap_base", 0xffff_ea00_0000_0000L),
        symbols.require("_text"),
        symbols.require("_end"));
  }

  /** A base that CONFIG_RANDOMIZE_MEMORY makes a variable; else it is fixed. */
  private long base(String variable, long fixed) {
    Symbol symbol = symbols.find(variable);
    if (symbol == null) {
      return fixed;
    }
    long at = tables.translate(root, symbol.address());
    return physical.isRam(at, 8) ? physical.readLong(at) : fixed;
  }

  /**
   * The per-CPU variable with the current task. Its name was {@code current_task}; it was in {@code
   * pcpu_hot} from Linux 6.2 to 6.14, and has its own name again since.
   */
  private long findCurrentTask() {
    Symbol hot = symbols.find("pcpu_hot");
    return hot == null
        ? symbols.require("current_task")
        : hot.address() + types.offsetOf("pcpu_hot", "current_task");
  }

  /** The image that the kernel was booted from. */
  public KernelImage image() {
    return image;
  }

  /** The machine that it runs in. */
  public Machine machine() {
    return machine;
  }

  /** What KASLR added to the addresses of the image, in bytes. */
  public long slide() {
    return slide;
  }

  /** The version line as /proc/version has it. */
  public String banner() {
    return banner;
  }

  /** Symbols of the image, at the addresses at which it runs. */
  public SymbolTable symbols() {
    return symbols;
  }

  /** Types of the kernel. */
  public TypeTable types() {
    return types;
  }

  /** Memory by the kernel's own page tables, whatever CR3 holds. */
  public KernelMemory memory() {
    return memory;
  }

  /** Where the kernel's address space has what. */
  public KernelLayout layout() {
    return layout;
  }

  /** Walks page tables. */
  public PageTables tables() {
    return tables;
  }

  /** Physical address of the kernel's own top page table, {@code swapper_pg_dir}. */
  public long rootTable() {
    return root;
  }

  /**
   * The physical address that the kernel's own page tables map an address to; -1 if there is none.
   */
  public long physicalOf(long linear) {
    return tables.translate(root, linear);
  }

  /** Reads a string that ends with a zero byte, at most that many bytes. */
  public String string(long linear, int most) {
    return memory.string(linear, most);
  }

  /** Where a processor's copy of a per-CPU variable is. */
  public long perCpu(String symbol, int cpu) {
    return perCpu(symbols.require(symbol), cpu);
  }

  private long perCpu(long symbol, int cpu) {
    return symbol + memory.readLong(perCpuOffsets + 8L * cpu);
  }

  /** Start of the first chunk of per-CPU memory, which holds the variables of the image. */
  public long perCpuFirstChunk() {
    return perCpuBase;
  }

  /** Bytes of the first chunk of per-CPU memory, for all processors. */
  public long perCpuFirstChunkBytes() {
    return perCpuBytes;
  }

  /** Address of the task that a processor runs. */
  public long currentTask(int cpu) {
    return memory.readLong(perCpu(currentTask, cpu));
  }

  /** Address of a task's mm; 0 for a kernel thread. */
  public long mmOf(long taskAddress) {
    return memory.readLong(taskAddress + task.mm);
  }

  /** Address of the mm whose page tables a task runs on. */
  public long activeMmOf(long taskAddress) {
    return memory.readLong(taskAddress + task.activeMm);
  }

  /** Lowest address of a task's kernel stack. */
  public long stackOf(long taskAddress) {
    return memory.readLong(taskAddress + task.stack);
  }

  /** Address of the first thread of a task's process. */
  public long leaderOf(long taskAddress) {
    return memory.readLong(taskAddress + task.leader);
  }

  /** Reads a task. */
  public Task task(long address) {
    return new Task(
        address,
        memory.readInt(address + task.pid),
        memory.readInt(address + task.tgid),
        memory.string(address + task.comm, COMM_BYTES),
        mmOf(address),
        activeMmOf(address),
        memory.readLong(address + task.stack));
  }

  /** Bytes of a task's kernel stack (THREAD_SIZE), to which stacks are aligned. */
  public int stackBytes() {
    return types.hasStruct("thread_union") ? types.sizeOf("thread_union") : STACK_BYTES;
  }

  /** All tasks that have not been reaped, threads included; the idle task is first. */
  public List<Task> tasks() {
    List<Task> found = new ArrayList<>();
    long idle = symbols.require("init_task");
    found.add(task(idle));
    long head = idle + task.tasks;
    long at = memory.readLong(head);
    for (int processes = 0; at != head && at != 0 && processes < MOST_TASKS; processes++) {
      addThreads(at - task.tasks, found);
      at = memory.readLong(at);
    }
    return found;
  }

  private void addThreads(long leader, List<Task> found) {
    long head = memory.readLong(leader + task.signal) + task.threadHead;
    for (long at = memory.readLong(head);
        at != head && at != 0 && found.size() < MOST_TASKS;
        at = memory.readLong(at)) {
      found.add(task(at - task.threadNode));
    }
  }

  /** Physical address of the top page table of an mm. */
  public long pgdPhysical(long mm) {
    long pgd = memory.readLong(mm + mmPgd);
    return switch (layout.region(pgd)) {
      case DIRECT_MAP -> pgd - layout.directMap();
      case IMAGE -> tables.translate(root, pgd);
      default -> -1;
    };
  }

  /**
   * The mm that page tables belong to: x86 keeps it in the struct page of the top table ({@code
   * pgd_set_mm} of arch/x86/mm/pgtable.c).
   *
   * @param cr3 value of the register; PCID and the bit of KPTI's user tables do not matter
   * @return address of the struct mm_struct, 0 if the tables belong to none
   */
  public long mmOfCr3(long cr3) {
    long table = cr3 & FRAME;
    long mm = mmOfTable(table);
    return mm == 0 && (table & USER_TABLES) != 0 ? mmOfTable(table & ~USER_TABLES) : mm;
  }

  private long mmOfTable(long table) {
    if (table == root) {
      return initMm;
    }
    long mm = memory.readLong(layout.vmemmap() + (table >>> 12) * pageBytes + tableMm);
    return mm < 0 && pgdPhysical(mm) == table ? mm : 0;
  }

  /** The mm of the page tables that a processor uses now. */
  public long currentMm(Processor processor) {
    return mmOfCr3(processor.state().cr3);
  }

  /** The modules that are loaded now. */
  public List<LoadedModule> modules() {
    return modules.all();
  }

  /** The module that an address belongs to, or null. */
  public @Nullable LoadedModule moduleAt(long linear) {
    return layout.region(linear) == KernelLayout.Region.MODULES ? modules.at(linear) : null;
  }

  /** The symbol of image or module that contains an address, or null. */
  public @Nullable Symbol symbolAt(long linear) {
    LoadedModule module = moduleAt(linear);
    return module == null ? symbols.at(linear) : module.symbols().at(linear);
  }

  /**
   * For people: function and offset, and the module in brackets; the bare number if the address is
   * neither in the image nor in a module.
   */
  public String describe(long linear) {
    LoadedModule module = moduleAt(linear);
    return module == null
        ? symbols.describe(linear)
        : "%s [%s]".formatted(module.symbols().describe(linear), module.name());
  }
}
