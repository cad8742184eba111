package dev.ringfence.linux.running;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.linux.running.KernelLayout.Region;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Regions of the kernel's half, against the table in Documentation/arch/x86/x86_64/mm.rst. */
final class KernelLayoutTest {
  private static final KernelLayout LAYOUT =
      new KernelLayout(
          0xffff_8880_0000_0000L,
          512L << 20,
          0xffff_c900_0000_0000L,
          0xffff_ea00_0000_0000L,
          0xffff_ffff_8100_0000L,
          0xffff_ffff_8380_0000L);

  @ParameterizedTest
  @CsvSource({
    "0, USER",
    "7fffffffffff, USER",
    "ffff888000000000, DIRECT_MAP",
    "ffff88801fffffff, DIRECT_MAP",
    "ffff888020000000, OTHER",
    "ffffc90000000000, VMALLOC",
    "ffffe8ffffffffff, VMALLOC",
    "ffffea0000000000, VMEMMAP",
    "ffffeaffffffffff, VMEMMAP",
    "fffffe0000000000, CPU_ENTRY_AREA",
    "fffffe7fffffffff, CPU_ENTRY_AREA",
    "ffffff0000000000, OTHER",
    "ffffffff81000000, IMAGE",
    "ffffffff837fffff, IMAGE",
    "ffffffffc0000000, MODULES",
    "fffffffffeffffff, MODULES",
    "ffffffffff600000, FIXMAP",
    "ffffffffff7fffff, FIXMAP",
    "ffffffffff800000, OTHER",
    "ffffffffffffffff, OTHER"
  })
  void addressesAreInTheirRegions(String address, Region region) {
    assertEquals(region, LAYOUT.region(Long.parseUnsignedLong(address, 16)));
  }
}
