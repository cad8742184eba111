package dev.ringfence.machine.memory;

import java.util.Arrays;

/**
 * Physical memory that the guest cannot see: pages for the tables of a layer beneath it. The pages
 * have physical addresses of their own, above all that the guest's memory map names, so that their
 * entries and the guest's can refer to each other; only walks that start from this memory can reach
 * them. The guest's own walks, its devices and its loads and stores go to {@link PhysicalMemory},
 * where these addresses are empty.
 */
public final class MonitorMemory implements EntryMemory, AutoCloseable {
  private static final int PAGE_BYTES = 4096;

  private final PhysicalMemory guest;
  private final long base;
  private final int capacity;
  private final HostMemory.Reservation reservation;
  private int[] free = new int[64];
  private int freeCount;
  private int fresh;
  private int peak;
  private long writes;

  /**
   * @param base physical address of the first page, beyond the guest's RAM and devices
   * @param bytes how much there is at most; the host commits it page by page
   */
  public MonitorMemory(PhysicalMemory guest, long base, long bytes) {
    if (bytes <= 0 || (bytes & PAGE_BYTES - 1) != 0 || (base & PAGE_BYTES - 1) != 0) {
      throw new IllegalArgumentException(
          "expected whole pages, got %x bytes at %x".formatted(bytes, base));
    }
    if (base < PhysicalMemory.HOLE_END + guest.size()) {
      throw new IllegalArgumentException("%x is in the guest's physical memory".formatted(base));
    }
    this.guest = guest;
    this.base = base;
    this.capacity = Math.toIntExact(bytes / PAGE_BYTES);
    this.reservation = HostMemory.reserve(bytes);
  }

  /** Takes a page of zeroes and returns its physical address, or -1 if none is left. */
  public long allocatePage() {
    int page;
    if (freeCount > 0) {
      page = free[--freeCount];
      HostMemory.fill(host(page), (long) PAGE_BYTES, (byte) 0);
    } else if (fresh < capacity) {
      page = fresh++;
    } else {
      return -1;
    }
    peak = Math.max(peak, fresh - freeCount);
    return base + (long) page * PAGE_BYTES;
  }

  /** Gives back a page that {@link #allocatePage} gave. */
  public void freePage(long address) {
    if (!holds(address) || (address & PAGE_BYTES - 1) != 0) {
      throw new IllegalArgumentException("%x is no page of this memory".formatted(address));
    }
    if (freeCount == free.length) {
      free = Arrays.copyOf(free, 2 * free.length);
    }
    free[freeCount++] = (int) ((address - base) / PAGE_BYTES);
  }

  /** Pages in use. */
  public int pagesUsed() {
    return fresh - freeCount;
  }

  /** Most pages that were ever in use at once. */
  public int peakPagesUsed() {
    return peak;
  }

  /**
   * Writes so far. While there is none, walks of tables in this memory come to what they came to.
   */
  public long writes() {
    return writes;
  }

  /** Whether the address lies in this memory, not in the guest's. */
  public boolean holds(long address) {
    return address >= base && address < base + (long) capacity * PAGE_BYTES;
  }

  /** Whether bytes of this memory, from {@code own}, equal bytes of the guest's RAM. */
  public boolean sameAsGuest(long own, long guestAddress, int bytes) {
    if (!guest.isRam(guestAddress, bytes)) {
      return false;
    }
    return HostMemory.equal(
        reservation.address() + (own - base), guest.hostAddress(guestAddress), bytes);
  }

  private long host(int page) {
    return reservation.address() + (long) page * PAGE_BYTES;
  }

  @Override
  public int readInt(long address) {
    return holds(address)
        ? HostMemory.getInt(reservation.address() + (address - base))
        : guest.readInt(address);
  }

  @Override
  public long readLong(long address) {
    return holds(address)
        ? HostMemory.getLong(reservation.address() + (address - base))
        : guest.readLong(address);
  }

  /**
   * Writes an entry of this memory. Walks that set accessed and dirty bits come here too; in the
   * guest's tables those bits are for the guest's own walks to set, so such writes are dropped.
   */
  @Override
  public void writeInt(long address, int value) {
    if (holds(address)) {
      writes++;
      HostMemory.putInt(reservation.address() + (address - base), value);
    }
  }

  @Override
  public void writeLong(long address, long value) {
    if (holds(address)) {
      writes++;
      HostMemory.putLong(reservation.address() + (address - base), value);
    }
  }

  /** Gives the memory back to the host. */
  @Override
  public void close() {
    reservation.arena().close();
  }
}
