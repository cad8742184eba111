package dev.ringfence.machine.memory;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * An address range to which device regions are attached: the port space, or the holes in physical
 * memory.
 */
public final class IoSpace {
  private record Attachment(String name, long first, long last, IoRegion region) {}

  private final String name;
  private final List<Attachment> attachments = new ArrayList<>();
  private Attachment recent;

  /**
   * @param name used in messages, for example "port" or "memory"
   */
  public IoSpace(String name) {
    this.name = name;
  }

  /**
   * Attaches a region.
   *
   * @throws IllegalArgumentException if the range overlaps one that is attached already
   */
  public void attach(String regionName, long first, long bytes, IoRegion region) {
    long last = first + bytes - 1;
    for (Attachment other : attachments) {
      if (first <= other.last && other.first <= last) {
        throw new IllegalArgumentException(
            "%s range %x-%x of %s overlaps %x-%x of %s"
                .formatted(name, first, last, regionName, other.first, other.last, other.name));
      }
    }
    attachments.add(new Attachment(regionName, first, last, region));
    attachments.sort(Comparator.comparingLong(Attachment::first));
    recent = null;
  }

  /** Whether no region is attached anywhere in the range, so that one can be. */
  public boolean isFree(long first, long bytes) {
    long last = first + bytes - 1;
    for (Attachment other : attachments) {
      if (first <= other.last && other.first <= last) {
        return false;
      }
    }
    return true;
  }

  /**
   * Detaches the region that starts at {@code first}, if there is one (a PCI base address register
   * moved).
   */
  public void detach(long first) {
    attachments.removeIf(attachment -> attachment.first == first);
    recent = null;
  }

  /**
   * Reads from the region at the address; where there is none, all ones, as an undriven bus gives.
   */
  public long read(long address, int bytes) {
    Attachment attachment = find(address, bytes);
    long ones = -1L >>> (64 - bytes * 8);
    return attachment == null
        ? ones
        : attachment.region.read(address - attachment.first, bytes) & ones;
  }

  /** Writes to the region at the address; where there is none the write is lost. */
  public void write(long address, int bytes, long value) {
    Attachment attachment = find(address, bytes);
    if (attachment != null) {
      attachment.region.write(
          address - attachment.first, bytes, value & (-1L >>> (64 - bytes * 8)));
    }
  }

  private Attachment find(long address, int bytes) {
    Attachment candidate = recent;
    if (candidate != null && address >= candidate.first && address + bytes - 1 <= candidate.last) {
      return candidate;
    }
    int low = 0;
    int high = attachments.size() - 1;
    while (low <= high) {
      int middle = (low + high) >>> 1;
      candidate = attachments.get(middle);
      if (address < candidate.first) {
        high = middle - 1;
      } else if (address > candidate.last) {
        low = middle + 1;
      } else {
        if (address + bytes - 1 > candidate.last) {
          return null;
        }
        recent = candidate;
        return candidate;
      }
    }
    return null;
  }
}
