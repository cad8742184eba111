package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import org.jspecify.annotations.Nullable;

/**
 * The device's side of a split virtqueue (virtio 1.2, section 2.7).
 *
 * <pre>
 *  descriptor  0 address 64   8 length 32   12 flags 16 (1 next, 2 device writes, 4 indirect)   14 next 16
 *  available   0 flags 16     2 index 16    4 ring[size] 16                used_event 16
 *  used        0 flags 16     2 index 16    4 ring[size] (id 32, length 32) avail_event 16
 * </pre>
 *
 * <p>Everything in memory is the driver's and may change at any time or be nonsense. Each value is
 * read once, checked, and used; loops are bounded by the size of the queue.
 */
final class VirtQueue {
  /** Most bytes in one chain; more than the block layer of any system sends at once. */
  static final int MAXIMUM_BYTES = 64 << 20;

  private static final int DESCRIPTOR = 16;
  private static final int NEXT = 1;
  private static final int WRITE = 2;
  private static final int INDIRECT = 4;
  private static final int NO_INTERRUPT = 1;

  private final PhysicalMemory memory;
  private final int maximumSize;

  private int size;
  private boolean enabled;
  private long descriptors;
  private long available;
  private long used;
  private int vector;
  private boolean indirect;
  private boolean eventIndex;
  private int nextAvailable;
  private int nextUsed;

  /** Value of the used index when the driver was last told. */
  private int signalledUsed;

  /** Chains that may still be taken before the driver must notify again. */
  private int budget;

  VirtQueue(PhysicalMemory memory, int maximumSize) {
    this.memory = memory;
    this.maximumSize = maximumSize;
    reset();
  }

  void reset() {
    size = maximumSize;
    enabled = false;
    descriptors = 0;
    available = 0;
    used = 0;
    vector = VirtioPci.NO_VECTOR;
    indirect = false;
    eventIndex = false;
    nextAvailable = 0;
    nextUsed = 0;
    signalledUsed = 0;
    budget = 0;
  }

  int size() {
    return size;
  }

  /** Sets the size; what is no power of two or too large is ignored. */
  void setSize(int value) {
    if (!enabled && Integer.bitCount(value) == 1 && value <= maximumSize) {
      size = value;
    }
  }

  boolean isEnabled() {
    return enabled;
  }

  /** The driver has set the queue up; what it negotiated holds from now on. */
  void enable(boolean indirectDescriptors, boolean eventIndexes) {
    enabled = true;
    indirect = indirectDescriptors;
    eventIndex = eventIndexes;
  }

  int vector() {
    return vector;
  }

  void setVector(int value) {
    vector = value;
  }

  long descriptors() {
    return descriptors;
  }

  void setDescriptors(long address) {
    if (!enabled) {
      descriptors = address;
    }
  }

  long available() {
    return available;
  }

  void setAvailable(long address) {
    if (!enabled) {
      available = address;
    }
  }

  long used() {
    return used;
  }

  void setUsed(long address) {
    if (!enabled) {
      used = address;
    }
  }

  private long checked(long address, int bytes) throws VirtQueueException {
    if (!memory.isRam(address, bytes)) {
      throw new VirtQueueException("queue address %x is not in RAM".formatted(address));
    }
    return address;
  }

  private int read16(long address) throws VirtQueueException {
    return memory.readShort(checked(address, 2)) & 0xffff;
  }

  private void write16(long address, int value) throws VirtQueueException {
    memory.writeShort(checked(address, 2), (short) value);
  }

  private int pending() throws VirtQueueException {
    int count = read16(available + 2) - nextAvailable & 0xffff;
    if (count > size) {
      throw new VirtQueueException(
          "%d chains are available in a queue of %d".formatted(count, size));
    }
    return count;
  }

  /**
   * Starts a round of taking chains. The round takes what is available now at most, so that a
   * device whose buffers overlap the ring comes to an end.
   */
  void beginRound() throws VirtQueueException {
    budget = enabled ? pending() : 0;
  }

  /** Whether a chain can be taken without a round: a device with input asks this at any time. */
  boolean hasAvailable() throws VirtQueueException {
    return enabled && pending() > 0;
  }

  /** The next chain of this round, or null. */
  @Nullable DescriptorChain next() throws VirtQueueException {
    if (budget == 0) {
      return null;
    }
    budget--;
    return take();
  }

  /** Takes the next available chain; there must be one. */
  DescriptorChain take() throws VirtQueueException {
    int head = read16(available + 4 + 2L * (nextAvailable & size - 1));
    nextAvailable = nextAvailable + 1 & 0xffff;
    DescriptorChain chain = new DescriptorChain(memory, head);
    walk(chain, descriptors, size, head, indirect);
    return chain;
  }

  private void walk(
      DescriptorChain chain, long table, int entries, int first, boolean mayBeIndirect)
      throws VirtQueueException {
    int index = first;
    // A chain has no more descriptors than its table; one that does has a loop.
    for (int count = 0; count < entries; count++) {
      if (index >= entries) {
        throw new VirtQueueException("descriptor %d of a table of %d".formatted(index, entries));
      }
      long at = checked(table + (long) index * DESCRIPTOR, DESCRIPTOR);
      long address = memory.readLong(at);
      int length = memory.readInt(at + 8);
      int flags = memory.readShort(at + 12);
      if ((flags & INDIRECT) != 0) {
        boolean whole = length > 0 && length % DESCRIPTOR == 0 && length <= 65_536 * DESCRIPTOR;
        if (!mayBeIndirect || (flags & NEXT) != 0 || !whole) {
          throw new VirtQueueException(
              "indirect table with flags %x and %d bytes".formatted(flags, length));
        }
        walk(chain, address, length / DESCRIPTOR, 0, false);
        return;
      }
      chain.add(address, length, (flags & WRITE) != 0);
      if ((flags & NEXT) == 0) {
        return;
      }
      index = memory.readShort(at + 14) & 0xffff;
    }
    throw new VirtQueueException("a chain of descriptors has a loop");
  }

  /** Gives a chain back to the driver. */
  void complete(DescriptorChain chain) throws VirtQueueException {
    long at = checked(used + 4 + 8L * (nextUsed & size - 1), 8);
    memory.writeInt(at, chain.head());
    memory.writeInt(at + 4, chain.written());
    nextUsed = nextUsed + 1 & 0xffff;
    write16(used + 2, nextUsed);
  }

  /**
   * Ends a round: asks to be notified of chains that come later.
   *
   * @return whether the driver wants an interrupt for what was completed (section 2.7.7.2)
   */
  boolean endRound() throws VirtQueueException {
    if (!enabled) {
      return false;
    }
    if (eventIndex) {
      write16(used + 4 + 8L * size, nextAvailable);
    }
    if (signalledUsed == nextUsed) {
      return false;
    }
    boolean wanted;
    if (eventIndex) {
      int event = read16(available + 4 + 2L * size);
      int fresh = nextUsed - event - 1 & 0xffff;
      wanted = fresh < (nextUsed - signalledUsed & 0xffff);
    } else {
      wanted = (read16(available) & NO_INTERRUPT) == 0;
    }
    signalledUsed = nextUsed;
    return wanted;
  }

  void save(StateWriter out) {
    out.writeInt(size);
    out.writeBoolean(enabled);
    out.writeLong(descriptors);
    out.writeLong(available);
    out.writeLong(used);
    out.writeInt(vector);
    out.writeBoolean(indirect);
    out.writeBoolean(eventIndex);
    out.writeInt(nextAvailable);
    out.writeInt(nextUsed);
    out.writeInt(signalledUsed);
  }

  void restore(StateReader in) {
    size = in.readInt("queue size", 1, maximumSize);
    enabled = in.readBoolean();
    descriptors = in.readLong();
    available = in.readLong();
    used = in.readLong();
    vector = in.readInt("queue vector", 0, 0xffff);
    indirect = in.readBoolean();
    eventIndex = in.readBoolean();
    nextAvailable = in.readInt("next available", 0, 0xffff);
    nextUsed = in.readInt("next used", 0, 0xffff);
    signalledUsed = in.readInt("signalled used", 0, 0xffff);
    budget = 0;
  }
}
