package dev.ringfence.linux.provenance;

import java.util.Locale;

/** What a page of kernel address space is used for. */
public enum PageKind {
  /** Executable code of the kernel image. */
  TEXT("code of the kernel image"),
  /** Read-only data of the kernel image. */
  RODATA("read-only data of the kernel image"),
  /** Initialized data of the kernel image. */
  DATA("writable data of the kernel image"),
  /** Zero-initialized data and brk area of the kernel image. */
  BSS("zero-initialized data of the kernel image"),
  /** Code and data of a loadable module. */
  MODULE("code and data of loadable modules"),
  /** Per-CPU variables, of the first chunk or of later ones. */
  PER_CPU("per-CPU variables"),
  /** The CPU entry area: IDT, GDT, TSS and entry stacks. */
  CPU_ENTRY_AREA("CPU entry area: IDT, GDT, TSS, entry stacks"),
  /** The fixmap. */
  FIXMAP("fixmap"),
  /** Memory that holds the array of {@code struct page}. */
  VMEMMAP("array of struct page"),
  /** Page tables of any level. */
  PAGE_TABLE("page tables"),
  /** Kernel stacks of tasks. */
  TASK_STACK("kernel stacks of tasks"),
  /** Slab caches; the name of a {@link Provenance} is the cache's. */
  SLAB("objects of slab caches"),
  /** Large kmalloc allocations, which come from the page allocator. */
  LARGE_KMALLOC("large kmalloc allocations"),
  /** vmalloc and vmap areas; the name is the function that made the area. */
  VMALLOC("vmalloc areas"),
  /** Memory-mapped device registers. */
  DEVICE("device registers"),
  /** Page cache of files, tmpfs excluded; the name is the file's. */
  PAGE_CACHE("page cache of files"),
  /** Anonymous memory of processes. */
  ANONYMOUS("anonymous memory of processes"),
  /** tmpfs, shmem, memfd and System V shared memory. */
  SHARED_MEMORY("tmpfs and shared memory"),
  /** Memory of virtual machines. */
  GUEST_MEMORY("memory of virtual machines"),
  /** Allocated with GFP_USER flags and not yet, or never, marked as one of the above. */
  USER_ALLOCATION("other pages allocated for user data"),
  /** Allocated without GFP_USER flags and not marked as any of the above. */
  KERNEL_ALLOCATION("other pages of the page allocator"),
  /** Free in the page allocator, or in a per-CPU list of it. */
  FREE("free pages"),
  /** Reserved since boot: firmware tables, memblock allocations. */
  RESERVED("memory reserved at boot"),
  /** The shared page of zeroes. */
  ZERO_PAGE("the shared page of zeroes"),
  /** None of the above. */
  UNKNOWN("not identified");

  private final String meaning;

  PageKind(String meaning) {
    this.meaning = meaning;
  }

  /** What it means, for people. */
  public String meaning() {
    return meaning;
  }

  /** Name in policies and results: {@code page-cache}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
