package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.EntryMemory;
import dev.ringfence.machine.memory.PhysicalMemory;

/**
 * Tells what a translation of the running processor would come to, without any effect that the
 * guest or the view could see: for executors that look ahead of, or beside, what really happens.
 * The result of the last {@link #inspect} stays in the object.
 */
public final class TranslationInspector {
  /** What an access would come to. */
  public enum Outcome {
    /** It is permitted. */
    PERMITTED,

    /** An entry of the tables is not present. */
    NOT_PRESENT,

    /** An entry has reserved bits set. */
    RESERVED,

    /** There is a translation, and it does not permit the access. */
    DENIED,

    /** The guest's tables permit it, but the view's do not hold the page now. */
    HIDDEN,

    /** The address is not canonical. */
    NOT_CANONICAL
  }

  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final PageWalker walker;
  private final AddressSpaceView.Mapping mapping = new AddressSpaceView.Mapping();
  private long physical;
  private boolean buffered;
  private boolean walked;

  TranslationInspector(
      ProcessorState state,
      TranslatedMemory memory,
      PhysicalMemory physical,
      int physicalAddressBits) {
    this.state = state;
    this.memory = memory;
    this.walker = new PageWalker(new RamAlone(physical), physicalAddressBits);
  }

  /** Guest-physical addresses are translated from now on, or no more. */
  void setExtended(long pointer) {
    walker.setExtended(pointer);
  }

  /** Tables in RAM: what is elsewhere is not present, because reading a device may change it. */
  private record RamAlone(PhysicalMemory physical) implements EntryMemory {
    @Override
    public int readInt(long address) {
      return physical.isRam(address, 4) ? physical.readInt(address) : 0;
    }

    @Override
    public long readLong(long address) {
      return physical.isRam(address, 8) ? physical.readLong(address) : 0;
    }

    @Override
    public void writeInt(long address, int value) {
      throw new IllegalStateException("an inspection writes nothing");
    }

    @Override
    public void writeLong(long address, long value) {
      throw new IllegalStateException("an inspection writes nothing");
    }
  }

  /**
   * Inspects an access in the processor's current mode and address space.
   *
   * @param linear an address; all of the access is in its page
   * @param access 0 for a load, {@link PageWalker#WRITE} or {@link PageWalker#FETCH}
   */
  public Outcome inspect(long linear, int access) {
    walked = false;
    buffered = true;
    if ((state.cr0 & ControlBits.CR0_PG) == 0 && !walker.isExtended()) {
      physical = linear & 0xffffffffL;
      return Outcome.PERMITTED;
    }
    if (state.longMode() && !ProcessorState.canonical(linear)) {
      return Outcome.NOT_CANONICAL;
    }
    boolean asUser = state.cpl == 3;
    boolean smapEnforced = (state.systemFlags & Flags.AC) == 0;
    TranslationBuffer buffer = memory.buffer(access);
    if (buffer.find(linear, memory.slot()) && buffer.permits(state, access, asUser, smapEnforced)) {
      physical = buffer.frame | linear & (1L << buffer.pageBits) - 1;
      describe(buffer.frame, buffer.pageBits, buffer.writable, buffer.user, buffer.noExecute);
      return reached(linear, access) ? Outcome.PERMITTED : Outcome.HIDDEN;
    }
    buffered = false;
    return walk(linear, access, asUser, smapEnforced);
  }

  /** Like {@link #inspect}, but as if no translation had been kept: the tables are read. */
  public Outcome inspectTables(long linear, int access) {
    buffered = false;
    if ((state.cr0 & ControlBits.CR0_PG) == 0 && !walker.isExtended()
        || state.longMode() && !ProcessorState.canonical(linear)) {
      return inspect(linear, access);
    }
    return walk(linear, access, state.cpl == 3, (state.systemFlags & Flags.AC) == 0);
  }

  private Outcome walk(long linear, int access, boolean asUser, boolean smapEnforced) {
    walked = true;
    PageWalker.Finding finding =
        (state.cr0 & ControlBits.CR0_PG) == 0
            ? walker.examineUnpaged(linear, access, asUser)
            : walker.examine(state, state.cr3, linear, access, asUser, smapEnforced);
    return switch (finding) {
      case NOT_PRESENT -> Outcome.NOT_PRESENT;
      case RESERVED -> Outcome.RESERVED;
      case PERMITTED, DENIED -> {
        physical = walker.frame | linear & (1L << walker.pageBits) - 1;
        describe(walker.frame, walker.pageBits, walker.writable, walker.user, walker.noExecute);
        if (!reached(linear, access)) {
          yield Outcome.HIDDEN;
        }
        yield finding == PageWalker.Finding.PERMITTED ? Outcome.PERMITTED : Outcome.DENIED;
      }
    };
  }

  private void describe(long page, int bits, boolean writable, boolean user, boolean noExecute) {
    mapping.frame = page;
    mapping.pageBits = bits;
    mapping.writable = writable;
    mapping.user = user;
    mapping.noExecute = noExecute;
  }

  private boolean reached(long linear, int access) {
    AddressSpaceView view = memory.view();
    return view == null || walker.isExtended() || view.reaches(linear, access, mapping);
  }

  /** Physical address of the byte, if there is a translation, permitted or not. */
  public long physical() {
    return physical;
  }

  /** Whether the translation was kept by the processor, so that no walk was needed. */
  public boolean buffered() {
    return buffered;
  }

  /**
   * Whether the access, if it is permitted, sets an accessed or dirty bit.
   *
   * @param write whether it is a store
   */
  public boolean marks(boolean write) {
    return walked && walker.marks(write);
  }

  /** Whether the translation that was walked for holds in all address spaces. */
  public boolean global() {
    return walked && walker.global;
  }

  /** Entries of tables that were read, from the root on; 0 if none had to be. */
  public int entries() {
    return walked ? walker.entries() : 0;
  }

  /** Physical address of an entry that was read. */
  public long entryAddress(int index) {
    return walker.entryAddress(index);
  }

  /**
   * Physical address of the entry of extended page tables that gave the address of an entry, or,
   * with the index behind the last one, of the page.
   *
   * @return -1 if guest-physical addresses are not translated
   */
  public long extendedEntryAddress(int index) {
    return walked && walker.isExtended() ? walker.extendedAddress(index) : -1;
  }

  /**
   * Where the entry at which the walk ended would lead if it were valid: its own address bits, not
   * translated any further, and the offset of the access.
   *
   * @return a physical address, or -1 if the walk did not end at an entry that names a page
   */
  public long unusedFrame() {
    return walked ? walker.unusedFrame() : -1;
  }
}
