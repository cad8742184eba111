package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.AddressSpaceView;
import dev.ringfence.machine.paging.PageWalker;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One access of the kernel that the guest's tables permit and that policies are asked about. What
 * several policies need is found out once. One object for each processor, reused.
 */
final class Touch {
  private static final int MOST_FRAMES = 48;

  final Processor processor;
  private final KernelView kernel;
  private final StackTable stacks;
  private final PageWalker guestWalker;
  private final long[] frames = new long[MOST_FRAMES];

  long linear;
  int access;
  long frame;

  /** Whether a policy took over the page while nothing but its allocation told what it is. */
  boolean filledUnmarked;

  private @Nullable Provenance provenance;
  private @Nullable List<String> symbols;
  private @Nullable Datum datum;
  private long guestEntry;
  private boolean guestWalked;
  private int stack;

  Touch(Processor processor, KernelView kernel, StackTable stacks, PhysicalMemory guest) {
    this.processor = processor;
    this.kernel = kernel;
    this.stacks = stacks;
    this.guestWalker = new PageWalker(guest, processor.model().physicalAddressBits());
  }

  void begin(long address, int kind, AddressSpaceView.Mapping mapping) {
    linear = address;
    access = kind;
    frame = mapping.frameOf(address);
    provenance = null;
    symbols = null;
    datum = null;
    guestWalked = false;
    stack = -1;
    filledUnmarked = false;
  }

  /** Whether the flags of its allocation are all that is known of a page. */
  static boolean isUnmarked(Provenance provenance) {
    return provenance.kind() == PageKind.KERNEL_ALLOCATION
        || provenance.kind() == PageKind.USER_ALLOCATION;
  }

  boolean write() {
    return (access & PageWalker.WRITE) != 0;
  }

  Provenance provenance() {
    if (provenance == null) {
      provenance =
          linear < 0
              ? kernel.provenance(linear, frame | PageAddress.offset(linear))
              : kernel.provenanceOfFrame(PageAddress.frame(frame));
    }
    return provenance;
  }

  List<String> symbols() {
    if (symbols == null) {
      symbols = kernel.symbolsOn(linear, provenance().kind());
    }
    return symbols;
  }

  Datum datum() {
    if (datum == null) {
      datum = kernel.describe(linear, provenance());
    }
    return datum;
  }

  /** Where in a file or slab object the access lies, null if in neither. */
  @Nullable ObjectOffset offset() {
    return kernel.offset(linear, PageAddress.frame(frame), provenance().kind());
  }

  /** Number of the kernel stack in {@link StackTable}. */
  int stack() {
    if (stack < 0) {
      stack = stacks.number(frames, kernel.unwind(processor, frames));
    }
    return stack;
  }

  /** Number of the empty stack. */
  int noStack() {
    return stacks.number(frames, 0);
  }

  /** Number of the kernel stack, for exits that no access causes. */
  int stackNow() {
    return stacks.number(frames, kernel.unwind(processor, frames));
  }

  /**
   * The leaf for a restricted table, made from the guest's tables as they are now; 0 if they do not
   * map the address any more, so that the access goes by a stale translation.
   */
  long guestEntry() {
    if (!guestWalked) {
      guestEntry = leaf(linear);
      guestWalked = true;
    }
    return guestEntry;
  }

  /** The leaf for any address of the upper half, made from the guest's tables as they are now. */
  long leaf(long address) {
    // Not by CR3 itself: under the guest's own KPTI it names tables without most of the kernel.
    long root = kernel.addressSpace(processor.state().cr3);
    if (!guestWalker.probe(processor.state(), root, address)) {
      return 0;
    }
    long offset = PageAddress.of(address & (1L << guestWalker.pageBits()) - 1);
    return (guestWalker.frame() | offset)
        | RestrictedTables.PRESENT
        | RestrictedTables.ACCESSED_DIRTY
        | (guestWalker.writable() ? RestrictedTables.WRITABLE : 0)
        | (guestWalker.noExecute() ? RestrictedTables.NO_EXECUTE : 0);
  }
}
