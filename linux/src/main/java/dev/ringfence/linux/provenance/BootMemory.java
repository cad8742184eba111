package dev.ringfence.linux.provenance;

import dev.ringfence.linux.running.KernelLayout;
import dev.ringfence.linux.running.PageTables;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * What the pages are that were taken before the page allocator existed: the image, the first chunk
 * of per-CPU memory, the array of struct page, early page tables. It holds for a page as long as
 * the page is marked reserved; memory that the kernel gives to the page allocator later loses the
 * mark.
 */
final class BootMemory {
  private static final long KERNEL_HALF = 0xffff_8000_0000_0000L;

  private final PhysicalMemory memory;
  private final @Nullable PageKind[] kinds;

  BootMemory(RunningKernel kernel) {
    memory = kernel.machine().memory();
    kinds = new PageKind[memory.ramPages()];
    KernelLayout layout = kernel.layout();
    long root = kernel.rootTable();
    kernel
        .tables()
        .visit(
            root,
            KERNEL_HALF,
            -1,
            new PageTables.Visitor() {
              @Override
              public void table(long physical) {
                set(physical, 4096, PageKind.PAGE_TABLE);
              }

              @Override
              public void page(long linear, long physical, long bytes) {
                if (layout.region(linear) == KernelLayout.Region.VMEMMAP) {
                  set(physical, bytes, PageKind.VMEMMAP);
                }
              }
            });
    set(root, 4096, PageKind.PAGE_TABLE);
    set(
        kernel.perCpuFirstChunk() - layout.directMap(),
        kernel.perCpuFirstChunkBytes(),
        PageKind.PER_CPU);
    setImage(kernel);
  }

  private void setImage(RunningKernel kernel) {
    setImage(kernel, "_text", "_etext", PageKind.TEXT);
    setImage(kernel, "__start_rodata", "__end_rodata", PageKind.RODATA);
    setImage(kernel, "_sdata", "__bss_start", PageKind.DATA);
    setImage(kernel, "__bss_start", "_end", PageKind.BSS);
    SymbolTable symbols = kernel.symbols();
    OptionalLong zero = symbols.address("empty_zero_page");
    if (zero.isPresent()) {
      set(kernel.physicalOf(zero.getAsLong()), 4096, PageKind.ZERO_PAGE);
    }
  }

  private void setImage(RunningKernel kernel, String first, String end, PageKind kind) {
    long from = kernel.symbols().require(first);
    long to = kernel.symbols().require(end);
    for (long linear = from & -4096; Long.compareUnsigned(linear, to) < 0; linear += 4096) {
      long physical = kernel.physicalOf(linear);
      // Page tables in the image stay page tables.
      if (physical >= 0 && kindOf(physical) != PageKind.PAGE_TABLE) {
        set(physical, 4096, kind);
      }
    }
  }

  private void set(long physical, long bytes, PageKind kind) {
    // Numbers of a broken guest may be anything.
    int first = memory.ramPage(physical);
    if (first >= 0) {
      long end = Math.min(kinds.length, first + ((physical & 4095) + bytes + 4095 >>> 12));
      for (int page = first; page < end; page++) {
        kinds[page] = kind;
      }
    }
  }

  private @Nullable PageKind kindOf(long physical) {
    int page = memory.ramPage(physical);
    return page < 0 ? null : kinds[page];
  }

  /** What a page that is marked reserved is. */
  PageKind kind(int ramPage) {
    PageKind kind = kinds[ramPage];
    return kind == null ? PageKind.RESERVED : kind;
  }
}
