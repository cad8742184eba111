package dev.ringfence.machine.boot;

/**
 * A part of the physical address space and what it is used for, as INT 15H function E820H reports
 * it (ACPI 6.5, table 15.4).
 */
public record MemoryRange(long start, long length, Type type) {
  /** Kinds, with their numbers in memory maps. */
  public enum Type {
    USABLE(1),
    RESERVED(2),
    /** Holds ACPI tables; usable once they have been read. */
    ACPI_RECLAIMABLE(3),
    ACPI_NONVOLATILE(4);

    private final int number;

    Type(int number) {
      this.number = number;
    }

    /** The number that memory maps of E820H, Multiboot and PVH use. */
    public int number() {
      return number;
    }
  }

  /** The first address after the range. */
  public long end() {
    return start + length;
  }

  boolean overlaps(long otherStart, long otherEnd) {
    return start < otherEnd && otherStart < end();
  }
}
