package dev.ringfence.linux.provenance;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.probe.CodeProbe;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.snapshot.SnapshotException;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Remembers of each physical page how it was allocated last: for user data or not, by its GFP
 * flags, and by which function. Both are known before {@code struct page} says anything: a page of
 * anonymous memory is cleared before it is marked as such.
 *
 * <p>Code probes at the functions of the page allocator see all this. A request is remembered at
 * the allocator's entry, and matched with its return by the stack pointer, which no other task and
 * no interrupt that comes between can have. The allocator clears new pages itself (init_on_alloc,
 * __GFP_ZERO); then the allocation is told at the first of these stores, else at the return.
 *
 * <p>What was allocated before {@link #start} is not known, unless {@link #adopt} tells.
 */
public final class AllocationTracker implements AutoCloseable {
  /** Told of pages that change hands. */
  public interface Listener {
    /**
     * Pages were allocated; the caller has not touched them yet. Told twice of a page if it was
     * cleared within a request for several single pages.
     *
     * @param pfn frame number of the first page
     * @param pages how many
     * @param user whether GFP flags say that they are for user data (__GFP_HARDWALL)
     * @param caller address in the function that asked for them
     */
    void allocated(long pfn, int pages, boolean user, long caller);

    /** Pages are about to be given back to the page allocator. */
    void freed(long pfn, int pages);

    /** A virtual machine reached pages of its memory for the first time. */
    default void reachedByMachine(long pfn, int pages) {}
  }

  private static final Listener NOBODY =
      new Listener() {
        @Override
        public void allocated(long pfn, int pages, boolean user, long caller) {}

        @Override
        public void freed(long pfn, int pages) {}
      };

  /** __GFP_HARDWALL, of which GFP_USER has nothing more than GFP_KERNEL, up to Linux 6.9. */
  private static final long HARDWALL_BIT = 20;

  /** ___GFP_MOVABLE is bit 3 in all versions: what compaction moves is pages of users. */
  private static final int MOVABLE = 1 << 3;

  /** Largest order of the page allocator, for requests that are broken. */
  private static final int MOST_ORDER = 18;

  /** Most entries of a list or array of pages that are believed. */
  private static final int MOST_PAGES = 1 << 16;

  /** What wrapper functions have on the stack at most, between their caller and the allocator. */
  private static final int WRAPPER_FRAMES = 1024;

  /** Requests that have not returned; more than that are of tasks that died inside. */
  private static final int MOST_REQUESTS = 1024;

  /** More call sites, or return addresses, than a kernel has. */
  private static final int MOST_SITES = 1 << 20;

  /** Pages of the largest machine. */
  private static final int MOST_BITS = 1 << 27;

  private final RunningKernel kernel;
  private final KernelMemory memory;
  private final PhysicalMemory physical;
  private final PageArray pages;
  private final AllocatorFunctions functions;
  private final int hardwall;
  private final boolean manyTakesList;
  private final long directMap;
  private final long stackBytes;
  private final int listPage;
  private final int batchFolios;
  private final int folioFlags;
  private final long headFlag;
  private final int folioOrder;

  private final List<Long> probed = new ArrayList<>();
  private final Set<Long> returns = new HashSet<>();
  private final Map<Long, Boolean> allocatorCode = new HashMap<>();
  private final Map<Long, Integer> siteNumbers = new HashMap<>();
  private final List<CallSite> sites = new ArrayList<>();

  /** The keys of {@link #siteNumbers}, in the order of the numbers. */
  private final List<Long> siteKeys = new ArrayList<>();

  /** By RAM page: number of the call site plus one; 0 if no allocation was seen. */
  private final int[] siteOfPage;

  private final BitSet allocated;
  private final BitSet user;

  /** RAM pages that a virtual machine has reached, with the process that ran it. */
  private final Map<Integer, Long> guestPages = new HashMap<>();

  private final Probe machines =
      new Probe() {
        @Override
        public void machineReached(Processor processor, long address, long bytes) {
          reached(processor, address, bytes);
        }
      };

  /** The latest call of a wrapper, by processor: its stack pointer and who called it. */
  private final long[] wrapperStack;

  private final long[] wrapperCaller;

  private final List<Request> requests = new ArrayList<>();
  private Listener listener = NOBODY;

  /** A call of the allocator that has not returned. */
  private static final class Request {
    private final long stack;
    private final int processor;
    private final int order;
    private final int site;
    private final boolean user;

    /** Of a request for many pages: the array, or 0, and the list, or 0. */
    private final long array;

    private final long list;

    private final boolean many;

    /** Entries of the array that were filled before the call. */
    private final BitSet filled;

    /** First page, once it is known before the return; else -1. */
    private long first = -1;

    Request(
        long stack,
        int processor,
        int order,
        int site,
        boolean user,
        boolean many,
        long list,
        long array,
        BitSet filled) {
      this.stack = stack;
      this.processor = processor;
      this.order = order;
      this.site = site;
      this.user = user;
      this.many = many;
      this.list = list;
      this.array = array;
      this.filled = filled;
    }

    private void save(StateWriter out) {
      out.writeLong(stack);
      out.writeInt(processor);
      out.writeInt(order);
      out.writeInt(site);
      out.writeBoolean(user);
      out.writeBoolean(many);
      out.writeLong(list);
      out.writeLong(array);
      writeBits(out, filled);
      out.writeLong(first);
    }

    private static Request restored(StateReader in, int sites, int processors) {
      long stack = in.readLong();
      int processor = in.readInt("processor", 0, processors - 1);
      int order = in.readInt("order", 0, MOST_ORDER);
      int site = in.readInt("call site", 1, sites);
      boolean user = in.readBoolean();
      boolean many = in.readBoolean();
      long list = in.readLong();
      long array = in.readLong();
      BitSet filled = new BitSet();
      readBits(in, filled);
      Request request = new Request(stack, processor, order, site, user, many, list, array, filled);
      request.first = in.readLong();
      return request;
    }
  }

  /**
   * For a kernel; nothing is observed before {@link #start}.
   *
   * @throws dev.ringfence.machine.BadInputException if the kernel has no page allocator that is
   *     known
   */
  public AllocationTracker(RunningKernel kernel) {
    this.kernel = kernel;
    memory = kernel.memory();
    physical = kernel.machine().memory();
    pages = new PageArray(kernel);
    KernelImage image = kernel.image();
    functions = new AllocatorFunctions(kernel.symbols(), image);
    TypeTable types = kernel.types();
    hardwall = 1 << (int) types.enumValue("___GFP_HARDWALL_BIT").orElse(HARDWALL_BIT);
    manyTakesList = functions.allocateManyTakesList(image);
    directMap = kernel.layout().directMap();
    stackBytes = kernel.stackBytes();
    listPage = types.offsetOf("page", "lru");
    boolean folios = types.hasStruct("folio_batch");
    batchFolios = folios ? types.offsetOf("folio_batch", "folios") : 0;
    folioFlags = types.offsetOf("page", "flags");
    headFlag = 1L << types.enumValue("PG_head").orElse(Long.SIZE - 1);
    // Linux 6.6 and later: the low byte of the second struct page's flags.
    folioOrder = types.has("folio", "_flags_1") ? types.offsetOf("folio", "_flags_1") : 0;
    int ramPages = physical.ramPages();
    siteOfPage = new int[ramPages];
    allocated = new BitSet(ramPages);
    user = new BitSet(ramPages);
    int processors = kernel.machine().processors().size();
    wrapperStack = new long[processors];
    wrapperCaller = new long[processors];
  }

  /** Sets who is told; there is one listener. */
  public void setListener(Listener replacement) {
    listener = replacement;
  }

  /** Starts to observe. */
  public void start() {
    probe(functions.allocate(), this::entered);
    if (functions.allocateMany() != 0) {
      probe(functions.allocateMany(), this::enteredMany);
    }
    kernel.machine().probes().add(machines);
    for (AllocatorFunctions.Code wrapper : functions.wrappers()) {
      probe(wrapper.start(), this::enteredWrapper);
    }
    for (long clear : functions.clearPage()) {
      probe(clear, this::clearing);
    }
    if (functions.prepare() != 0) {
      probe(functions.prepare(), this::preparing);
    }
    for (AllocatorFunctions.Free free : functions.frees()) {
      probe(
          free.address(),
          switch (free.arguments()) {
            case PAGE -> this::freeingPage;
            case PAGES -> this::freeingPages;
            case LIST -> this::freeingList;
            case FOLIOS -> this::freeingFolios;
          });
    }
  }

  /** What is known now. */
  public AllocationHistory history() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    StateWriter out = new StateWriter(bytes);
    out.writeInts(siteOfPage);
    writeBits(out, allocated);
    writeBits(out, user);
    out.writeInt(sites.size());
    for (int i = 0; i < sites.size(); i++) {
      CallSite site = sites.get(i);
      out.writeLong(siteKeys.get(i));
      out.writeLong(site.address());
      out.writeString(site.function());
      out.writeString(site.kind().name());
    }
    out.writeLongs(wrapperStack);
    out.writeLongs(wrapperCaller);
    out.writeInt(requests.size());
    for (Request request : requests) {
      request.save(out);
    }
    out.writeInt(returns.size());
    returns.stream().sorted().forEach(out::writeLong);
    out.writeInt(guestPages.size());
    new TreeMap<>(guestPages)
        .forEach((page, mm) -> {
          out.writeInt(page);
          out.writeLong(mm);
        });
    out.flush();
    return new AllocationHistory(bytes.toByteArray());
  }

  /**
   * Takes over what another tracker knew of the same kernel at this point, and goes on from there.
   *
   * @throws dev.ringfence.machine.snapshot.SnapshotException if it is not of such a kernel
   */
  public void adopt(AllocationHistory history) {
    StateReader in = history.reader();
    in.readInts(siteOfPage);
    readBits(in, allocated);
    readBits(in, user);
    sites.clear();
    siteKeys.clear();
    siteNumbers.clear();
    int count = in.readInt("call sites", 0, MOST_SITES);
    for (int i = 1; i <= count; i++) {
      long key = in.readLong();
      siteKeys.add(key);
      siteNumbers.put(key, i);
      sites.add(new CallSite(in.readLong(), in.readString(), kind(in.readString())));
    }
    for (int site : siteOfPage) {
      if (site < 0 || site > count) {
        throw new SnapshotException(
            "allocations: expected a call site from 0 to %d, found %d".formatted(count, site));
      }
    }
    in.readLongs(wrapperStack);
    in.readLongs(wrapperCaller);
    requests.clear();
    int open = in.readInt("open requests", 0, MOST_REQUESTS);
    for (int i = 0; i < open; i++) {
      requests.add(Request.restored(in, count, wrapperStack.length));
    }
    int addresses = in.readInt("return addresses", 0, MOST_SITES);
    for (int i = 0; i < addresses; i++) {
      expectReturn(in.readLong());
    }
    guestPages.clear();
    int reached = in.readInt("pages of virtual machines", 0, siteOfPage.length);
    for (int i = 0; i < reached; i++) {
      int page = in.readInt("page of a virtual machine", 0, siteOfPage.length - 1);
      guestPages.put(page, in.readLong());
    }
  }

  private static PageKind kind(String name) {
    try {
      return PageKind.valueOf(name);
    } catch (IllegalArgumentException e) {
      throw new SnapshotException(
          "allocations: expected a kind of pages, found '%s'".formatted(name), e);
    }
  }

  private static void writeBits(StateWriter out, BitSet bits) {
    byte[] bytes = bits.toByteArray();
    out.writeInt(bytes.length);
    out.writeBytes(bytes);
  }

  private static void readBits(StateReader in, BitSet bits) {
    bits.clear();
    bits.or(BitSet.valueOf(in.readBytes(in.readInt("bytes of a set", 0, MOST_BITS / 8))));
  }

  /** Stops to observe. What is known stays, and grows old. */
  @Override
  public void close() {
    for (long address : probed) {
      kernel.machine().probes().clearCodeProbe(address);
    }
    kernel.machine().probes().remove(machines);
    probed.clear();
    returns.clear();
    requests.clear();
  }

  private void probe(long linear, CodeProbe probe) {
    // Memory of init code is used for other code later: a probe belongs to a physical address.
    CodeProbe exact =
        processor -> {
          if (processor.state().rip == linear) {
            probe.reached(processor);
          }
        };
    // By the kernel's own tables: in user mode a processor may have others.
    long address = kernel.physicalOf(linear);
    if (kernel.machine().probes().setCodeProbe(address, exact)) {
      probed.add(address);
    }
  }

  private void enteredWrapper(Processor processor) {
    int index = processor.index();
    long stack = processor.state().r[Slot.RSP];
    long caller = memory.readLong(stack);
    boolean nested =
        Long.compareUnsigned(wrapperStack[index] - stack - 1, WRAPPER_FRAMES) < 0
            && functions.isWrapper(caller);
    if (!nested) {
      wrapperStack[index] = stack;
      wrapperCaller[index] = caller;
    }
  }

  /** Whoever wants the pages of a call of the allocator: not a function that passes it on. */
  private int callSite(Processor processor, long stack, long returnAddress) {
    int index = processor.index();
    boolean wrapped =
        Long.compareUnsigned(wrapperStack[index] - stack, WRAPPER_FRAMES) < 0
            && functions.isWrapper(returnAddress);
    return siteNumber(wrapped ? wrapperCaller[index] : returnAddress, returnAddress);
  }

  /**
   * Number of a call site.
   *
   * @param caller that wants the pages
   * @param returnAddress of the call of the allocator, whose function may tell the purpose too
   */
  private int siteNumber(long caller, long returnAddress) {
    // Kernel code lies in the last 2 GiB, so the low halves are all that differs.
    long key = caller << 32 | returnAddress & 0xffff_ffffL;
    Integer known = siteNumbers.get(key);
    if (known != null) {
      return known;
    }
    CallSite site = CallSite.of(caller, function(caller));
    if (site.kind() == PageKind.KERNEL_ALLOCATION) {
      PageKind kind = CallSite.of(returnAddress, function(returnAddress)).kind();
      site = new CallSite(caller, site.function(), kind);
    }
    sites.add(site);
    siteKeys.add(key);
    siteNumbers.put(key, sites.size());
    return sites.size();
  }

  private String function(long address) {
    Symbol symbol = kernel.symbolAt(address);
    return symbol == null ? kernel.describe(address) : symbol.name();
  }

  private void entered(Processor processor) {
    long[] r = processor.state().r;
    long stack = r[Slot.RSP];
    long returnAddress = memory.readLong(stack);
    int order = Math.clamp(r[Slot.RSI] & 0xffff_ffffL, 0, MOST_ORDER);
    add(
        new Request(
            stack,
            processor.index(),
            order,
            callSite(processor, stack, returnAddress),
            isUser((int) r[Slot.RDI]),
            false,
            0,
            0,
            new BitSet()));
    expectReturn(returnAddress);
  }

  private void enteredMany(Processor processor) {
    long[] r = processor.state().r;
    long stack = r[Slot.RSP];
    long returnAddress = memory.readLong(stack);
    int count = Math.clamp((int) r[Slot.RCX], 0, MOST_PAGES);
    long list = manyTakesList ? r[Slot.R8] : 0;
    long array = manyTakesList ? r[Slot.R9] : r[Slot.R8];
    BitSet filled = new BitSet();
    if (array != 0) {
      for (int i = 0; i < count; i++) {
        filled.set(i, memory.readLong(array + 8L * i) != 0);
      }
    }
    add(
        new Request(
            stack,
            processor.index(),
            0,
            callSite(processor, stack, returnAddress),
            isUser((int) r[Slot.RDI]),
            true,
            list,
            array,
            filled));
    expectReturn(returnAddress);
  }

  private boolean isUser(int gfp) {
    return (gfp & hardwall) != 0;
  }

  private void add(Request request) {
    // The stack of a task that died inside may be another's now.
    requests.removeIf(old -> old.stack == request.stack);
    if (requests.size() == MOST_REQUESTS) {
      requests.removeFirst();
    }
    requests.add(request);
  }

  private void expectReturn(long returnAddress) {
    if (returns.add(returnAddress)) {
      probe(returnAddress, this::returned);
    }
  }

  private void returned(Processor processor) {
    long[] r = processor.state().r;
    long stack = r[Slot.RSP] - 8;
    for (int i = requests.size() - 1; i >= 0; i--) {
      Request request = requests.get(i);
      if (request.stack == stack) {
        requests.remove(i);
        finish(request, r[Slot.RAX]);
        return;
      }
    }
  }

  private void finish(Request request, long result) {
    if (!request.many) {
      long pfn = result == 0 ? -1 : pages.frameOf(result);
      if (pfn >= 0 && pfn != request.first) {
        allocated(request, pfn);
      }
      return;
    }
    int count = Math.clamp(result, 0, MOST_PAGES);
    if (request.array != 0) {
      for (int i = request.filled.nextClearBit(0);
          i < count;
          i = request.filled.nextClearBit(i + 1)) {
        tellPage(request, memory.readLong(request.array + 8L * i));
      }
    } else if (request.list != 0) {
      long at = memory.readLong(request.list);
      for (int i = 0; i < count && at != request.list && at != 0; i++) {
        tellPage(request, at - listPage);
        at = memory.readLong(at);
      }
    }
  }

  private void tellPage(Request request, long structPage) {
    long pfn = pages.frameOf(structPage);
    if (pfn >= 0) {
      allocated(request, pfn);
    }
  }

  private void allocated(Request request, long pfn) {
    request.first = pfn;
    allocated(pfn, 1 << request.order, request.user, request.site);
  }

  private void allocated(long pfn, int count, boolean isUser, int site) {
    for (int i = 0; i < count; i++) {
      int page = physical.ramPage(pfn + i << 12);
      if (page >= 0) {
        siteOfPage[page] = site;
        allocated.set(page);
        user.set(page, isUser);
        guestPages.remove(page);
      }
    }
    listener.allocated(pfn, count, isUser, sites.get(site - 1).address());
  }

  /** A page is about to be cleared: by the allocator, if a request is being served. */
  private void clearing(Processor processor) {
    if (requests.isEmpty()) {
      return;
    }
    long[] r = processor.state().r;
    long stack = r[Slot.RSP];
    long address = r[Slot.RDI] - directMap;
    if (physical.ramPage(address) < 0 || !isAllocator(memory.readLong(stack))) {
      return;
    }
    Request request = innermost(processor.index(), stack);
    if (request != null) {
      // Blocks of the page allocator begin at a multiple of their size.
      long first = address >>> 12 & -(1L << request.order);
      if (first != request.first) {
        allocated(request, first);
      }
    }
  }

  /** The request that the code on a stack works for, or null. */
  private @Nullable Request innermost(int processor, long stack) {
    Request found = null;
    for (Request request : requests) {
      // Stacks of tasks are aligned to their size; a task may go on on another processor.
      boolean same = ((request.stack ^ stack) & -stackBytes) == 0;
      if ((same || request.processor == processor)
          && Long.compareUnsigned(request.stack - stack, stackBytes) < 0
          && (found == null || Long.compareUnsigned(request.stack, found.stack) < 0)) {
        found = request;
      }
    }
    return found;
  }

  /** Pages are about to be prepared for use: by the allocator itself, or by compaction. */
  private void preparing(Processor processor) {
    long[] r = processor.state().r;
    long pfn = pages.frameOf(r[Slot.RDI]);
    if (pfn < 0) {
      return;
    }
    long stack = r[Slot.RSP];
    long caller = memory.readLong(stack);
    if (isAllocator(caller)) {
      Request request = innermost(processor.index(), stack);
      if (request != null && request.first != pfn) {
        allocated(request, pfn);
      }
      return;
    }
    int order = Math.clamp(r[Slot.RSI] & 0xffff_ffffL, 0, MOST_ORDER);
    boolean isUser = ((int) r[Slot.RDX] & (hardwall | MOVABLE)) != 0;
    allocated(pfn, 1 << order, isUser, siteNumber(caller, caller));
  }

  private boolean isAllocator(long address) {
    Boolean known = allocatorCode.get(address);
    if (known == null) {
      known = functions.isAllocator(address);
      allocatorCode.put(address, known);
    }
    return known;
  }

  private void freeingPage(Processor processor) {
    freed(pages.frameOf(processor.state().r[Slot.RDI]), 0);
  }

  private void freeingPages(Processor processor) {
    long[] r = processor.state().r;
    freed(pages.frameOf(r[Slot.RDI]), Math.clamp(r[Slot.RSI] & 0xffff_ffffL, 0, MOST_ORDER));
  }

  private void freeingList(Processor processor) {
    long head = processor.state().r[Slot.RDI];
    long at = memory.readLong(head);
    for (int i = 0; i < MOST_PAGES && at != head && at != 0; i++) {
      freed(pages.frameOf(at - listPage), 0);
      at = memory.readLong(at);
    }
  }

  private void freeingFolios(Processor processor) {
    long batch = processor.state().r[Slot.RDI];
    int count = memory.readByte(batch) & 0xff;
    for (int i = 0; i < count; i++) {
      long folio = memory.readLong(batch + batchFolios + 8L * i);
      boolean large = (memory.readLong(folio + folioFlags) & headFlag) != 0;
      int order = large ? memory.readByte(folio + folioOrder) & 0xff : 0;
      freed(pages.frameOf(folio), Math.min(order, MOST_ORDER));
    }
  }

  private void freed(long pfn, int order) {
    int first = pfn < 0 ? -1 : physical.ramPage(pfn << 12);
    // Functions that free call each other; the first of them tells.
    if (first < 0 || siteOfPage[first] != 0 && !allocated.get(first)) {
      return;
    }
    int count = 1 << order;
    for (int i = 0; i < count; i++) {
      int page = physical.ramPage(pfn + i << 12);
      if (page >= 0) {
        allocated.clear(page);
        guestPages.remove(page);
      }
    }
    listener.freed(pfn, count);
  }

  private void reached(Processor processor, long address, long bytes) {
    long first = address >>> 12;
    long end = address + bytes >>> 12;
    for (long pfn = first; pfn < end; pfn++) {
      int page = ramPage(pfn);
      if (page >= 0 && !guestPages.containsKey(page)) {
        guestPages.put(page, kernel.mmOf(kernel.currentTask(processor.index())));
        listener.reachedByMachine(pfn, 1);
      }
    }
  }

  /** Whether a virtual machine has reached a page since its latest allocation. */
  public boolean isReachedByMachine(long pfn) {
    return guestPages.containsKey(ramPage(pfn));
  }

  /** The process that ran the first virtual machine to reach a page; 0 if none has. */
  long machineOwner(long pfn) {
    return guestPages.getOrDefault(ramPage(pfn), 0L);
  }

  private int ramPage(long pfn) {
    return physical.ramPage(pfn << 12);
  }

  /** Whether an allocation of a page was seen, which it may have left behind since. */
  public boolean isKnown(long pfn) {
    int page = ramPage(pfn);
    return page >= 0 && siteOfPage[page] != 0;
  }

  /** Whether a page was allocated and not freed since, as far as that was seen. */
  public boolean isAllocated(long pfn) {
    int page = ramPage(pfn);
    return page >= 0 && allocated.get(page);
  }

  /**
   * Whether the latest allocation of a page was for user data; stays so after the page is freed,
   * until the next allocation. False if none was seen.
   */
  public boolean isUser(long pfn) {
    int page = ramPage(pfn);
    return page >= 0 && user.get(page);
  }

  /**
   * Address in the function that asked for the page in its latest allocation; 0 if none was seen.
   */
  public long caller(long pfn) {
    CallSite site = site(pfn);
    return site == null ? 0 : site.address();
  }

  /** A number that tells one allocation of a page from most others: who asked, and for whom. */
  int allocation(long pfn) {
    int page = ramPage(pfn);
    return page < 0
        ? 0
        : 4 * siteOfPage[page] + (allocated.get(page) ? 2 : 0) + (user.get(page) ? 1 : 0);
  }

  /** Who asked for the page in its latest allocation, or null if none was seen. */
  @Nullable CallSite site(long pfn) {
    int page = ramPage(pfn);
    return page < 0 || siteOfPage[page] == 0 ? null : sites.get(siteOfPage[page] - 1);
  }
}
