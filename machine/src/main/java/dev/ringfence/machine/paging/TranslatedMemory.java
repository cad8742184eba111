package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.DebugRegisters;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.HostMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.util.Arrays;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The memory of one processor. Constraint: loads and stores are a third of all work, so what is
 * common must be one compare and one access to host memory. For each kind of access there is a
 * table of pages that need nothing else: the translation is known, permitted in the current
 * context, accessed and dirty bits are set, the page is RAM, holds no decoded code (stores) and no
 * watched address. Everything else, page-crossing accesses included, fails the compare and takes
 * one slow method.
 *
 * <pre>
 * tag    linear page number << 12 | context        (context: address-space slot << 2 | kind of privilege)
 * delta  host address of the page - linear address (fetch: number of the RAM page)
 * </pre>
 *
 * <p>The fast tables hold nothing that the {@link TranslationBuffer}s behind them would not find.
 * What the guest can see of translation (which walks happen, and so which accessed and dirty bits
 * are set) then depends on the buffers alone, and a view may empty the fast tables whenever it
 * likes.
 *
 * <p>Fetches have a buffer of their own, as processors have an instruction TLB. So no data access
 * takes away the translation of the page that code runs in, and an executor that stays in the page
 * need not look it up again: it is there until an instruction invalidates it, raises an exception,
 * or something is fetched from elsewhere.
 *
 * <p>Executors inline the compare on {@link #readTable}, {@link #writeTable} and {@link #context};
 * everyone else calls the methods.
 */
public final class TranslatedMemory implements LinearMemory {
  /** Entries of a fast table; two longs each. */
  private static final int ENTRIES = 4096;

  /** Mask of the page number of an address. */
  public static final long PAGE = ~0xfffL;

  private static final int READ = 0;
  private static final int WRITE = 1;
  private static final int FETCH = 2;

  private static final int CONTEXT_USER = 1;
  private static final int CONTEXT_NO_USER_PAGES = 2;

  /**
   * User mode with alignment checks. Data pages are never entered under it, so that every access
   * takes the slow method, which checks.
   */
  private static final int CONTEXT_ALIGNED = 3;

  /** Fast table of loads: tag and delta at {@link #entry}. */
  public final long[] readTable = new long[2 * ENTRIES];

  /** Fast table of stores. */
  public final long[] writeTable = new long[2 * ENTRIES];

  /** Fast table of instruction fetches; the delta is the number of a RAM page. */
  public final long[] fetchTable = new long[2 * ENTRIES];

  /** Low twelve bits of the tags of loads and stores that match now. */
  public long context;

  /**
   * Low twelve bits of the tags of fetches that match now: EFLAGS.AC, which SMAP and alignment
   * checks go by, changes nothing for them.
   */
  public long fetchContext;

  /**
   * Set by a slow access after which the executor must leave its block at the end of the
   * instruction: a device was accessed, or decoded code was overwritten.
   */
  public boolean leaveBlock;

  /**
   * Set with {@link #leaveBlock} where a device was accessed. For executors that leave a block for
   * overwritten code only if it is that block's own; they clear it.
   */
  public boolean deviceAccessed;

  /**
   * While it is set, accesses that would set {@link #leaveBlock} raise {@link RestartInstruction}
   * instead.
   */
  public boolean restarts;

  /**
   * Changes whenever {@link #fetchTable} may have lost an entry. While it stays the same, a fetch
   * that hit the table in some {@link #fetchContext} hits it there again.
   */
  public int fetchEpoch;

  private final ProcessorState state;
  private final PhysicalMemory physical;
  private final PageWalker walker;
  private final TranslationInspector inspector;
  private final TranslationBuffer dataBuffer = new TranslationBuffer(this::dropFast);
  private final TranslationBuffer fetchBuffer = new TranslationBuffer(this::dropFast);
  private final TranslationSlots slots = new TranslationSlots(this::slotsExhausted);
  private int slot;
  private int globalSlot = TranslationBuffer.GLOBAL;
  private @Nullable AddressSpaceView view;
  private boolean viewGuardsUserHalf;
  private final AddressSpaceView.Mapping mapping = new AddressSpaceView.Mapping();

  /** Whether what {@link #translate} found last may stay in the fast tables after a restriction. */
  private boolean lasting = true;

  /** Entries of fast tables that {@link #restrict} drops: table number << 16 | index. */
  private final int[] passing = new int[3 * ENTRIES];

  private int passingCount;
  private final long[][] fastTables = {readTable, writeTable, fetchTable};
  private final RestartInstruction restart = new RestartInstruction();
  private @Nullable Invalidations invalidations;
  private @Nullable GuestPages guestPages;
  private @Nullable AccessListener accessListener;
  private Watcher watcher;
  private DeviceGate deviceGate = () -> {};
  private PhysicalMemory.CodeGate codeGate = PhysicalMemory.CodeGate.NO_CODE;

  public TranslatedMemory(ProcessorState state, PhysicalMemory physical, int physicalAddressBits) {
    this.state = state;
    this.physical = physical;
    this.walker = new PageWalker(physical, physicalAddressBits);
    this.inspector = new TranslationInspector(state, this, physical, physicalAddressBits);
    this.watcher =
        new Watcher() {
          @Override
          public boolean watches(long linearPage) {
            return DebugRegisters.enabled(state) && DebugRegisters.watched(state, linearPage, 4096);
          }

          @Override
          public void accessed(long linear, int bytes, boolean write) {
            DebugRegisters.dataAccess(state, linear, bytes, write);
          }
        };
    invalidateAll();
  }

  /** Puts a view behind the guest's tables, or none. Translations of the guest stay as they are. */
  public void setView(@Nullable AddressSpaceView replacement) {
    view = replacement;
    viewGuardsUserHalf = replacement != null && replacement.guardsUserHalf();
    clearFastTables();
  }

  /** Takes off who is attached, and forgets what an executor had been told. */
  public void recycle() {
    setView(null);
    setAccessListener(null);
    leaveBlock = false;
    deviceAccessed = false;
    restarts = false;
  }

  /** Sets who is told of the guest's invalidations, if anyone. */
  public void setInvalidations(@Nullable Invalidations listener) {
    invalidations = listener;
  }

  /** Sets who is told of memory that virtual machines reach, if anyone. */
  public void setGuestPages(@Nullable GuestPages listener) {
    guestPages = listener;
  }

  /** Lets the view be asked again for all pages that it did not admit for good. */
  public void restrict() {
    for (int i = 0; i < passingCount; i++) {
      fastTables[passing[i] >>> 16][passing[i] & 0xffff] = -1;
      if (passing[i] >>> 16 == FETCH) {
        fetchEpoch++;
      }
    }
    passingCount = 0;
  }

  /** Lets the view be asked again for one page of 4 KiB, in all address spaces. */
  public void withdraw(long linear) {
    dropFast(linear, false);
  }

  /** Lets the view be asked again for all pages. */
  public void withdrawAll() {
    clearFastTables();
  }

  /**
   * Gives the pages of the upper half that the supervisor reaches in the current address space
   * without the view being asked.
   */
  public void forEachHeld(LongConsumer pages) {
    for (long[] table : fastTables) {
      for (int entry = 0; entry < table.length; entry += 2) {
        long tag = table[entry];
        boolean supervisor = (tag & 3) == 0 || (tag & 3) == CONTEXT_NO_USER_PAGES;
        if (tag < 0 && tag != -1 && supervisor && (tag & 0xfff) >>> 2 == slot) {
          pages.accept(tag & PAGE);
        }
      }
    }
  }

  /**
   * The list is full: entries displaced each other for long without a restriction, as in a kernel
   * thread. All others go, and the list begins anew with the one just entered.
   */
  private void forgetPassing(int number, int entry) {
    long tag = fastTables[number][entry];
    restrict();
    fastTables[number][entry] = tag;
    passing[passingCount++] = number << 16 | entry;
  }

  private void enter(int number, long linear, long delta) {
    int entry = entry(linear);
    long[] table = fastTables[number];
    if (number == FETCH && table[entry] != -1) {
      fetchEpoch++;
    }
    table[entry] = linear & PAGE | (number == FETCH ? fetchContext : context);
    table[entry + 1] = delta;
    if (!lasting) {
      if (passingCount == passing.length) {
        forgetPassing(number, entry);
      } else {
        passing[passingCount++] = number << 16 | entry;
      }
    }
  }

  /** Who tells what a translation would come to. */
  public TranslationInspector inspector() {
    return inspector;
  }

  /** The view, or null. */
  @Nullable AddressSpaceView view() {
    return view;
  }

  /** The buffer of translations for a kind of access. */
  TranslationBuffer buffer(int access) {
    return (access & PageWalker.FETCH) != 0 ? fetchBuffer : dataBuffer;
  }

  /** Number of the current address space. */
  int slot() {
    return slot;
  }

  /** Number under which pages are kept that all address spaces of the host, or the guest, have. */
  public int globalSlot() {
    return globalSlot;
  }

  public void setWatcher(Watcher replacement) {
    watcher = replacement;
  }

  /**
   * Sets who is told of accesses that do not go by the fast tables directly, or nobody: an executor
   * that must know what a helper accesses.
   */
  public void setAccessListener(@Nullable AccessListener listener) {
    accessListener = listener;
  }

  public void setDeviceGate(DeviceGate gate) {
    deviceGate = gate;
  }

  /** Sets what is told before a store of this processor to a page with decoded code. */
  public void setCodeGate(PhysicalMemory.CodeGate gate) {
    codeGate = gate;
  }

  /** Index of the tag in a fast table; the delta follows it. */
  public static int entry(long linear) {
    return (int) (linear >>> 11) & 2 * (ENTRIES - 1);
  }

  @Override
  public void contextChanged() {
    long now = currentModes();
    TranslationSlots.Space owner = slots.current();
    if (now != owner.modes) {
      owner.modes = now;
      clearFastTables();
    }
    int pcid = (state.cr4 & ControlBits.CR4_PCIDE) != 0 ? (int) state.cr3 & 0xfff : 0;
    slot = slots.slot(pcid);
    boolean smap = (state.cr4 & ControlBits.CR4_SMAP) != 0 && (state.systemFlags & Flags.AC) == 0;
    int user = alignmentChecked() ? CONTEXT_ALIGNED : CONTEXT_USER;
    long space = (long) slot << 2;
    context = space | (state.cpl == 3 ? user : smap ? CONTEXT_NO_USER_PAGES : 0);
    fetchContext = space | (state.cpl == 3 ? CONTEXT_USER : 0);
  }

  /**
   * A virtual machine runs from now on. Its translations are apart from all others.
   *
   * @param vpid its identifier, or 0
   * @param extended the EPT pointer, or 0 if guest-physical addresses are physical ones
   */
  public void enterGuest(int vpid, long extended) {
    slots.enterGuest(vpid, extended);
    spaceChanged();
  }

  /** The host runs from now on. */
  public void leaveGuest() {
    slots.leaveGuest();
    spaceChanged();
  }

  private void spaceChanged() {
    long extended = slots.current().extended;
    walker.setExtended(extended);
    inspector.setExtended(extended);
    globalChanged();
    contextChanged();
  }

  /**
   * Drops translations of virtual machines: INVEPT and INVVPID.
   *
   * @param vpid of one alone, or -1
   * @param extended EPT pointer of those meant, or 0 for all
   */
  public void invalidateGuests(int vpid, long extended) {
    slots.forgetGuests(vpid, extended);
  }

  /** Reads a PDPTE by the address that CR3 gives, which is guest-physical in a virtual machine. */
  public long readPointer(long address) {
    return walker.readPointer(address);
  }

  /** What, besides the context, decides which accesses are permitted. */
  private long currentModes() {
    return state.cr0 & (ControlBits.CR0_WP | ControlBits.CR0_PG)
        | state.cr4
            & (ControlBits.CR4_SMEP
                | ControlBits.CR4_SMAP
                | ControlBits.CR4_PAE
                | ControlBits.CR4_PSE
                | ControlBits.CR4_PGE)
        | (state.efer & (ControlBits.EFER_NXE | ControlBits.EFER_LMA)) << 32;
  }

  private void globalChanged() {
    globalSlot = slots.global();
    dataBuffer.setGlobal(globalSlot);
    fetchBuffer.setGlobal(globalSlot);
  }

  private void slotsExhausted() {
    globalChanged();
    dataBuffer.clearButGlobal();
    fetchBuffer.clearButGlobal();
    clearFastTables();
  }

  private void clearFastTables() {
    // No context has all twelve bits set, so a tag of all ones never matches.
    Arrays.fill(readTable, -1);
    Arrays.fill(writeTable, -1);
    Arrays.fill(fetchTable, -1);
    fetchEpoch++;
    passingCount = 0;
  }

  @Override
  public void invalidatePage(long linear) {
    dataBuffer.remove(linear, slot);
    fetchBuffer.remove(linear, slot);
    tellPage(linear);
  }

  @Override
  public void invalidatePage(long linear, int pcid) {
    int pcidSlot = slots.slotIfAny(pcid);
    if (pcidSlot >= 0) {
      dataBuffer.removeFrom(linear, pcidSlot);
      fetchBuffer.removeFrom(linear, pcidSlot);
    }
    tellPage(linear);
  }

  private void tellPage(long linear) {
    if (invalidations != null && !slots.inGuest()) {
      invalidations.page(linear);
    }
  }

  private void tellAll(boolean global) {
    if (invalidations != null && !slots.inGuest()) {
      invalidations.all(global);
    }
  }

  private void dropFast(long linear, boolean large) {
    if (large) {
      clearFastTables();
      return;
    }
    int entry = entry(linear);
    for (int number = 0; number < fastTables.length; number++) {
      long[] table = fastTables[number];
      if (((table[entry] ^ linear) & PAGE) == 0) {
        table[entry] = -1;
        if (number == FETCH) {
          fetchEpoch++;
        }
      }
    }
  }

  @Override
  public void invalidatePcid(int pcid) {
    // Global translations live in a slot of their own, in the buffer; copies in the fast tables are
    // found again there.
    slots.forget(pcid);
    contextChanged();
    tellAll(false);
  }

  @Override
  public void invalidateAll() {
    if (slots.inGuest()) {
      slots.forgetCurrentGuest();
      spaceChanged();
      return;
    }
    slots.forgetAll();
    dataBuffer.clear();
    fetchBuffer.clear();
    clearFastTables();
    contextChanged();
    tellAll(true);
  }

  @Override
  public void invalidateAllButGlobal() {
    slots.forgetButGlobal();
    contextChanged();
    tellAll(false);
  }

  @Override
  public void breakpointsChanged() {
    clearFastTables();
  }

  /** Makes stores to a RAM page, which now holds decoded code, take the slow method. */
  public void protectCode(long hostPage) {
    for (int entry = 0; entry < writeTable.length; entry += 2) {
      if ((writeTable[entry] & PAGE) + writeTable[entry + 1] == hostPage) {
        writeTable[entry] = -1;
      }
    }
  }

  /**
   * Translates an access that lies in one page, and sets accessed and dirty bits.
   *
   * @param access 0, {@link PageWalker#WRITE} or {@link PageWalker#FETCH}
   * @param stack the access is relative to SS: a non-canonical address raises #SS
   * @return the physical address
   */
  private long translate(
      long linear, int access, boolean asUser, boolean smapEnforced, boolean stack) {
    if ((state.cr0 & ControlBits.CR0_PG) == 0 && !walker.isExtended()) {
      return linear & 0xffffffffL;
    }
    if (state.longMode()) {
      if (!ProcessorState.canonical(linear)) {
        throw stack
            ? ProcessorException.of(ProcessorException.STACK_FAULT, 0)
            : ProcessorException.generalProtection();
      }
    } else if (linear >>> 32 != 0) {
      throw new IllegalStateException("linear address beyond 4 GiB outside IA-32e mode");
    }
    TranslationBuffer buffer = buffer(access);
    if (buffer.find(linear, slot) && buffer.permits(state, access, asUser, smapEnforced)) {
      describe(buffer.frame, buffer.pageBits, buffer.writable, buffer.user, buffer.noExecute);
    } else {
      walk(linear, access, asUser, smapEnforced);
      describe(walker.frame, walker.pageBits, walker.writable, walker.user, walker.noExecute);
    }
    long address = mapping.frame | linear & (1L << mapping.pageBits) - 1;
    lasting = view == null || !viewAsked(linear, asUser) || view.admit(linear, access, mapping);
    return address;
  }

  /** The view stands behind the tables of the host's kernel alone. */
  private boolean viewAsked(long linear, boolean asUser) {
    return view != null && !asUser && (linear < 0 || viewGuardsUserHalf) && !slots.inGuest();
  }

  private void walk(long linear, int access, boolean asUser, boolean smapEnforced) {
    if ((state.cr0 & ControlBits.CR0_PG) == 0) {
      walker.walkUnpaged(linear & 0xffffffffL, access, asUser);
    } else if (!walker.walk(state, state.cr3, linear, access, asUser, smapEnforced)) {
      // Stale translations go, whatever access they are for (SDM volume 3, section 4.10.4.1).
      dataBuffer.remove(linear, slot);
      fetchBuffer.remove(linear, slot);
      throw walker.fault(linear);
    }
    buffer(access).insert(linear, slot, walker);
    if (guestPages != null && walker.isExtended()) {
      guestPages.reached(walker.frame, 1L << walker.pageBits);
    }
  }

  private void describe(long page, int bits, boolean writable, boolean user, boolean noExecute) {
    mapping.frame = page;
    mapping.pageBits = bits;
    mapping.writable = writable;
    mapping.user = user;
    mapping.noExecute = noExecute;
  }

  private boolean isUser() {
    return state.cpl == 3;
  }

  private boolean smapEnforced() {
    return (state.systemFlags & Flags.AC) == 0;
  }

  private long translateData(long linear, boolean write, boolean stack) {
    return translate(linear, write ? PageWalker.WRITE : 0, isUser(), smapEnforced(), stack);
  }

  /**
   * The number of the RAM page from which the instruction at an address is fetched, also entered
   * into {@link #fetchTable}; -1 if the address is not RAM.
   */
  public int fetchPage(long linear) {
    int entry = entry(linear);
    if (fetchTable[entry] == (linear & PAGE | fetchContext)) {
      return (int) fetchTable[entry + 1];
    }
    int page = physical.ramPage(translate(linear, PageWalker.FETCH, isUser(), false, false));
    if (page >= 0) {
      enter(FETCH, linear, page);
    }
    return page;
  }

  /** Whether misaligned data accesses raise #AC (SDM volume 3, section 6.15, interrupt 17). */
  private boolean alignmentChecked() {
    return state.cpl == 3
        && (state.systemFlags & Flags.AC) != 0
        && (state.cr0 & ControlBits.CR0_AM) != 0;
  }

  private void checkAlignment(long linear, int bytes) {
    if ((linear & bytes - 1) != 0 && alignmentChecked()) {
      throw ProcessorException.of(ProcessorException.ALIGNMENT_CHECK, 0);
    }
  }

  private long load(long linear, int bytes, boolean stack) {
    if ((linear & 0xfff) + bytes > 4096) {
      return loadAcross(linear, bytes, stack);
    }
    long address = translateData(linear, false, stack);
    checkAlignment(linear, bytes);
    boolean watched = watcher.watches(linear & PAGE);
    if (watched) {
      watcher.accessed(linear, bytes, false);
    }
    long host = physical.hostAddress(address);
    if (host == 0) {
      requireLeave();
      return physical.devices().read(address, bytes);
    }
    if (!watched && !alignmentChecked()) {
      enter(READ, linear, host - linear);
    }
    return switch (bytes) {
      case 1 -> HostMemory.getByte(host) & 0xffL;
      case 2 -> HostMemory.getShort(host) & 0xffffL;
      case 4 -> HostMemory.getInt(host) & 0xffffffffL;
      default -> HostMemory.getLong(host);
    };
  }

  private void requireLeave() {
    if (restarts) {
      throw restart;
    }
    deviceGate.beforeDeviceAccess();
    leaveBlock = true;
    deviceAccessed = true;
  }

  private long loadAcross(long linear, int bytes, boolean stack) {
    int inFirst = 4096 - ((int) linear & 0xfff);
    long wrap = state.longMode() ? -1L : 0xffffffffL;
    checkCanonical(linear, bytes, stack);
    translateData(linear, false, stack);
    translateData(linear + inFirst & wrap, false, stack);
    checkAlignment(linear, bytes);
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      value |= load(linear + i & wrap, 1, stack) << 8 * i;
    }
    return value;
  }

  private void store(long linear, int bytes, long value, boolean stack) {
    if ((linear & 0xfff) + bytes > 4096) {
      storeAcross(linear, bytes, value, stack);
      return;
    }
    long address = translateData(linear, true, stack);
    checkAlignment(linear, bytes);
    boolean watched = watcher.watches(linear & PAGE);
    if (watched) {
      watcher.accessed(linear, bytes, true);
    }
    long host = physical.hostAddress(address);
    if (host == 0) {
      requireLeave();
      physical.devices().write(address, bytes, value);
      return;
    }
    if (physical.isCodePage(physical.ramPage(address))) {
      if (restarts && codeGate.holdsCode(address, bytes)) {
        throw restart;
      }
      codeGate.codeOverwritten(address, bytes);
    } else if (!watched && !alignmentChecked()) {
      enter(WRITE, linear, host - linear);
    }
    switch (bytes) {
      case 1 -> HostMemory.putByte(host, (byte) value);
      case 2 -> HostMemory.putShort(host, (short) value);
      case 4 -> HostMemory.putInt(host, (int) value);
      default -> HostMemory.putLong(host, value);
    }
  }

  private void storeAcross(long linear, int bytes, long value, boolean stack) {
    int inFirst = 4096 - ((int) linear & 0xfff);
    long wrap = state.longMode() ? -1L : 0xffffffffL;
    checkCanonical(linear, bytes, stack);
    translateData(linear, true, stack);
    translateData(linear + inFirst & wrap, true, stack);
    checkAlignment(linear, bytes);
    for (int i = 0; i < bytes; i++) {
      store(linear + i & wrap, 1, value >>> 8 * i, stack);
    }
  }

  private boolean readHits(int entry, long linear, int bytes) {
    if (accessListener != null) {
      accessListener.accessing(linear, bytes, false);
    }
    return readTable[entry] == (linear + bytes - 1 & PAGE | context);
  }

  private boolean writeHits(int entry, long linear, int bytes) {
    if (accessListener != null) {
      accessListener.accessing(linear, bytes, true);
    }
    return writeTable[entry] == (linear + bytes - 1 & PAGE | context);
  }

  @Override
  public long load8(long linear) {
    return load8(linear, false);
  }

  @Override
  public long load16(long linear) {
    return load16(linear, false);
  }

  @Override
  public long load32(long linear) {
    return load32(linear, false);
  }

  @Override
  public long load64(long linear) {
    return load64(linear, false);
  }

  /**
   * Like {@link #load8(long)}; {@code stack} says that a non-canonical address raises #SS. Likewise
   * the following.
   */
  public long load8(long linear, boolean stack) {
    int entry = entry(linear);
    return readHits(entry, linear, 1)
        ? HostMemory.getByte(linear + readTable[entry + 1]) & 0xffL
        : load(linear, 1, stack);
  }

  public long load16(long linear, boolean stack) {
    int entry = entry(linear);
    return readHits(entry, linear, 2)
        ? HostMemory.getShort(linear + readTable[entry + 1]) & 0xffffL
        : load(linear, 2, stack);
  }

  public long load32(long linear, boolean stack) {
    int entry = entry(linear);
    return readHits(entry, linear, 4)
        ? HostMemory.getInt(linear + readTable[entry + 1]) & 0xffffffffL
        : load(linear, 4, stack);
  }

  public long load64(long linear, boolean stack) {
    int entry = entry(linear);
    return readHits(entry, linear, 8)
        ? HostMemory.getLong(linear + readTable[entry + 1])
        : load(linear, 8, stack);
  }

  @Override
  public void store8(long linear, long value) {
    store8(linear, value, false);
  }

  @Override
  public void store16(long linear, long value) {
    store16(linear, value, false);
  }

  @Override
  public void store32(long linear, long value) {
    store32(linear, value, false);
  }

  @Override
  public void store64(long linear, long value) {
    store64(linear, value, false);
  }

  /**
   * Like {@link #store8(long, long)}; {@code stack} as in {@link #load8(long, boolean)}. Likewise
   * the following.
   */
  public void store8(long linear, long value, boolean stack) {
    int entry = entry(linear);
    if (writeHits(entry, linear, 1)) {
      HostMemory.putByte(linear + writeTable[entry + 1], (byte) value);
    } else {
      store(linear, 1, value & 0xff, stack);
    }
  }

  public void store16(long linear, long value, boolean stack) {
    int entry = entry(linear);
    if (writeHits(entry, linear, 2)) {
      HostMemory.putShort(linear + writeTable[entry + 1], (short) value);
    } else {
      store(linear, 2, value & 0xffff, stack);
    }
  }

  public void store32(long linear, long value, boolean stack) {
    int entry = entry(linear);
    if (writeHits(entry, linear, 4)) {
      HostMemory.putInt(linear + writeTable[entry + 1], (int) value);
    } else {
      store(linear, 4, value & 0xffffffffL, stack);
    }
  }

  public void store64(long linear, long value, boolean stack) {
    int entry = entry(linear);
    if (writeHits(entry, linear, 8)) {
      HostMemory.putLong(linear + writeTable[entry + 1], value);
    } else {
      store(linear, 8, value, stack);
    }
  }

  @Override
  public void checkStore(long linear, int bytes) {
    checkStore(linear, bytes, false);
  }

  /** Like {@link #checkStore(long, int)}; {@code stack} as in {@link #load8(long, boolean)}. */
  public void checkStore(long linear, int bytes, boolean stack) {
    int entry = entry(linear);
    if (!writeHits(entry, linear, bytes)) {
      checkCanonical(linear, bytes, stack);
      long address = translateData(linear, true, stack);
      checkEnd(linear, bytes, true, stack);
      if (restarts) {
        requirePlain(address, Math.min(bytes, 4096 - ((int) linear & 0xfff)));
      }
    }
  }

  /** For stores that are checked first, so that they do not restart halfway. */
  private void requirePlain(long address, int bytes) {
    if (physical.hostAddress(address) == 0
        || physical.isCodePage(physical.ramPage(address)) && codeGate.holdsCode(address, bytes)) {
      throw restart;
    }
  }

  @Override
  public void checkLoad(long linear, int bytes) {
    checkLoad(linear, bytes, false);
  }

  /** Like {@link #checkLoad(long, int)}; {@code stack} as in {@link #load8(long, boolean)}. */
  public void checkLoad(long linear, int bytes, boolean stack) {
    int entry = entry(linear);
    if (!readHits(entry, linear, bytes)) {
      checkCanonical(linear, bytes, stack);
      translateData(linear, false, stack);
      checkEnd(linear, bytes, false, stack);
    }
  }

  /** The last byte's address counts too, and before any page fault. */
  private void checkCanonical(long linear, int bytes, boolean stack) {
    if (state.longMode() && !ProcessorState.canonical(linear + bytes - 1)) {
      throw stack
          ? ProcessorException.of(ProcessorException.STACK_FAULT, 0)
          : ProcessorException.generalProtection();
    }
  }

  private void checkEnd(long linear, int bytes, boolean write, boolean stack) {
    if ((linear & 0xfff) + bytes > 4096) {
      long wrap = state.longMode() ? -1L : 0xffffffffL;
      long address = translateData((linear | 0xfff) + 1 & wrap, write, stack);
      if (restarts && write) {
        requirePlain(address, ((int) linear & 0xfff) + bytes - 4096);
      }
    }
  }

  @Override
  public boolean copy(long from, long to, int bytes) {
    if (!readHits(entry(from), from, bytes) && !admitLoad(from, bytes)) {
      return false;
    }
    // Now, because admitting the store may displace a translation and empty the tables.
    long source = from + readTable[entry(from) + 1];
    long target = targetOf(to, bytes);
    if (target == 0) {
      return false;
    }
    HostMemory.copy(source, target, bytes);
    return true;
  }

  @Override
  public boolean fill(long to, int bytes, long value, int size) {
    long target = targetOf(to, bytes);
    if (target == 0) {
      return false;
    }
    HostMemory.fill(target, bytes, value, size);
    return true;
  }

  /** Tries to make a load hit the fast table. Raises what a load of the first byte would raise. */
  private boolean admitLoad(long linear, int bytes) {
    long host = physical.hostAddress(translateData(linear, false, false));
    if (host == 0
        || watcher.watches(linear & PAGE)
        || alignmentChecked()
        || (linear & 0xfff) + bytes > 4096) {
      return false;
    }
    enter(READ, linear, host - linear);
    return true;
  }

  /**
   * Host address of bytes that are about to be written at once, or 0 if they cannot be. Raises what
   * a store of the first byte would raise.
   */
  private long targetOf(long linear, int bytes) {
    int entry = entry(linear);
    if (writeHits(entry, linear, bytes)) {
      return linear + writeTable[entry + 1];
    }
    long address = translateData(linear, true, false);
    long host = physical.hostAddress(address);
    if (host == 0
        || watcher.watches(linear & PAGE)
        || alignmentChecked()
        || (linear & 0xfff) + bytes > 4096) {
      return 0;
    }
    if (!physical.isCodePage(physical.ramPage(address))) {
      enter(WRITE, linear, host - linear);
    } else if (!restarts) {
      // Not store by store, which would take a detailed executor longer than where no code is
      // known.
      codeGate.codeOverwritten(address, bytes);
    } else {
      return 0;
    }
    return host;
  }

  @Override
  public long loadSystem(long linear, int bytes) {
    if (accessListener != null) {
      accessListener.accessing(linear, bytes, false);
    }
    if ((linear & 0xfff) + bytes > 4096) {
      long wrap = state.longMode() ? -1L : 0xffffffffL;
      long value = 0;
      for (int i = 0; i < bytes; i++) {
        value |= loadSystem(linear + i & wrap, 1) << 8 * i;
      }
      return value;
    }
    long address = translate(linear, 0, false, isUser() || smapEnforced(), false);
    return switch (bytes) {
      case 1 -> physical.readByte(address) & 0xffL;
      case 2 -> physical.readShort(address) & 0xffffL;
      case 4 -> physical.readInt(address) & 0xffffffffL;
      default -> physical.readLong(address);
    };
  }

  @Override
  public void storeSystem(long linear, int bytes, long value) {
    if (accessListener != null) {
      accessListener.accessing(linear, bytes, true);
    }
    if ((linear & 0xfff) + bytes > 4096) {
      checkStoreSystem(linear, bytes);
      long wrap = state.longMode() ? -1L : 0xffffffffL;
      for (int i = 0; i < bytes; i++) {
        storeSystem(linear + i & wrap, 1, value >>> 8 * i);
      }
      return;
    }
    long address = translate(linear, PageWalker.WRITE, false, isUser() || smapEnforced(), false);
    switch (bytes) {
      case 1 -> physical.writeByte(address, (byte) value);
      case 2 -> physical.writeShort(address, (short) value);
      case 4 -> physical.writeInt(address, (int) value);
      default -> physical.writeLong(address, value);
    }
  }

  @Override
  public void checkStoreSystem(long linear, int bytes) {
    translate(linear, PageWalker.WRITE, false, isUser() || smapEnforced(), false);
    if ((linear & 0xfff) + bytes > 4096) {
      long wrap = state.longMode() ? -1L : 0xffffffffL;
      translate(
          (linear | 0xfff) + 1 & wrap, PageWalker.WRITE, false, isUser() || smapEnforced(), false);
    }
  }

  @Override
  public long probe(long linear) {
    if ((state.cr0 & ControlBits.CR0_PG) == 0) {
      return walker.isExtended() ? -1 : linear & 0xffffffffL;
    }
    if (state.longMode() && !ProcessorState.canonical(linear)) {
      return -1;
    }
    return walker.probe(state, state.cr3, linear)
        ? walker.frame | linear & (1L << walker.pageBits) - 1
        : -1;
  }

  /**
   * Writes all translations, so that a restored machine has the same stale ones as the machine that
   * went on. Host addresses are written as numbers of RAM pages.
   */
  public void save(StateWriter out) {
    slots.save(out);
    dataBuffer.save(out);
    fetchBuffer.save(out);
    saveTable(out, readTable, false);
    saveTable(out, writeTable, false);
    saveTable(out, fetchTable, true);
  }

  private void saveTable(StateWriter out, long[] table, boolean fetch) {
    for (int entry = 0; entry < table.length; entry += 2) {
      long tag = table[entry];
      long delta = table[entry + 1];
      int ramPage = fetch ? (int) delta : physical.ramPageAtHost((tag & PAGE) + delta);
      out.writeLong(tag);
      out.writeInt(tag == -1 ? -1 : ramPage);
    }
  }

  /** Reads what {@link #save} wrote, once the processor's state has been restored. */
  public void restore(StateReader in) {
    slots.restore(in);
    dataBuffer.restore(in);
    fetchBuffer.restore(in);
    restoreTable(in, READ);
    restoreTable(in, WRITE);
    restoreTable(in, FETCH);
    fetchEpoch++;
    slots.current().modes = currentModes();
    spaceChanged();
  }

  private void restoreTable(StateReader in, int number) {
    long[] table = fastTables[number];
    for (int entry = 0; entry < table.length; entry += 2) {
      long tag = in.readLong();
      int ramPage = in.readInt("translated page", -1, physical.ramPages() - 1);
      // A machine that is used again may hold code of the page that the saved one did not.
      boolean missing = ramPage < 0 || number == WRITE && physical.isCodePage(ramPage);
      table[entry] = missing ? -1 : tag;
      table[entry + 1] =
          number == FETCH || missing ? ramPage : physical.hostAddressOfPage(ramPage) - (tag & PAGE);
    }
  }
}
