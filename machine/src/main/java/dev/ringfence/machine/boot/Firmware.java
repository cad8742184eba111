package dev.ringfence.machine.boot;

import java.util.List;

/**
 * What a machine's firmware left in memory before the boot loader ran.
 *
 * @param rsdpAddress physical address of the ACPI root pointer, 0 if there are no tables
 * @param ranges parts of the address space that are not free RAM: tables, memory-mapped devices
 */
public record Firmware(long rsdpAddress, List<MemoryRange> ranges) {
  /** No tables at all, as some bare guests are tested with. */
  public static final Firmware NONE = new Firmware(0, List.of());

  public Firmware {
    ranges = List.copyOf(ranges);
  }
}
