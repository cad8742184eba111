package dev.ringfence.linux.running;

/**
 * Where the kernel's address space has what: Linux, Documentation/arch/x86/x86_64/mm.rst, four
 * levels of page tables. The bases of direct map, vmalloc area and array of struct page are
 * randomized; the rest is fixed.
 *
 * @param directMap where physical address 0 is mapped
 * @param directMapBytes up to the end of RAM
 * @param vmalloc first address of the vmalloc area
 * @param vmemmap where the struct page of physical page 0 is
 * @param imageStart first address of the kernel image ({@code _text})
 * @param imageEnd first address behind it ({@code _end})
 */
public record KernelLayout(
    long directMap,
    long directMapBytes,
    long vmalloc,
    long vmemmap,
    long imageStart,
    long imageEnd) {
  /** 32 TiB, VMALLOC_SIZE_TB_L4 of arch/x86/include/asm/pgtable_64_types.h. */
  private static final long VMALLOC_BYTES = 32L << 40;

  /** The array covers the 64 TiB of the direct map at most. */
  private static final long VMEMMAP_BYTES = 1L << 40;

  /** CPU_ENTRY_AREA_BASE: the entry of the top table that is the fourth from the end. */
  public static final long CPU_ENTRY_AREA = 0xffff_fe00_0000_0000L;

  private static final long CPU_ENTRY_AREA_END = 0xffff_fe80_0000_0000L;

  /** Kernel image and modules: the last two gibibytes (__START_KERNEL_map). */
  private static final long KERNEL_MAP = 0xffff_ffff_8000_0000L;

  /** MODULES_END. */
  private static final long MODULES_END = 0xffff_ffff_ff00_0000L;

  /** FIXADDR_TOP: the last page of the 2 MiB region that holds the vsyscall page. */
  public static final long FIXMAP_TOP = 0xffff_ffff_ff7f_f000L;

  /** Parts of the kernel half. */
  public enum Region {
    /** All of RAM. */
    DIRECT_MAP,
    /** vmalloc, vmap, ioremap, stacks, per-CPU chunks but the first. */
    VMALLOC,
    /** Array of struct page. */
    VMEMMAP,
    /** IDT, GDT, TSS and entry stacks. */
    CPU_ENTRY_AREA,
    /** The kernel image. */
    IMAGE,
    /** Modules, and other generated code. */
    MODULES,
    /** Fixed addresses. */
    FIXMAP,
    /** Anything else of the kernel half: LDT remap, espfix stacks, EFI runtime services. */
    OTHER,
    /** The lower half. */
    USER
  }

  /** Which part an address belongs to. */
  public Region region(long linear) {
    if (linear >= 0) {
      return Region.USER;
    }
    if (Long.compareUnsigned(linear - directMap, directMapBytes) < 0) {
      return Region.DIRECT_MAP;
    }
    if (Long.compareUnsigned(linear, KERNEL_MAP) >= 0) {
      if (Long.compareUnsigned(linear - imageStart, imageEnd - imageStart) < 0) {
        return Region.IMAGE;
      }
      if (Long.compareUnsigned(linear, MODULES_END) < 0) {
        return Region.MODULES;
      }
      return Long.compareUnsigned(linear, FIXMAP_TOP + 4096) < 0 ? Region.FIXMAP : Region.OTHER;
    }
    if (Long.compareUnsigned(linear - vmalloc, VMALLOC_BYTES) < 0) {
      return Region.VMALLOC;
    }
    if (Long.compareUnsigned(linear - vmemmap, VMEMMAP_BYTES) < 0) {
      return Region.VMEMMAP;
    }
    if (Long.compareUnsigned(linear, CPU_ENTRY_AREA) >= 0
        && Long.compareUnsigned(linear, CPU_ENTRY_AREA_END) < 0) {
      return Region.CPU_ENTRY_AREA;
    }
    return Region.OTHER;
  }
}
