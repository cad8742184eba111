package dev.ringfence.linux.provenance;

import java.util.Map;

/**
 * Code that allocates pages.
 *
 * @param address return address of the call
 * @param function that contains it
 * @param kind what the function's pages are for, as far as its name tells
 */
record CallSite(long address, String function, PageKind kind) {
  /** Suffix of functions behind which memory allocation profiling counts (Linux 6.10). */
  private static final String UNPROFILED = "_noprof";

  /** Functions of Linux, mm and arch/x86/mm, that allocate pages for one purpose. */
  private static final Map<String, PageKind> PURPOSES =
      Map.ofEntries(
          Map.entry("__vmalloc_node_range", PageKind.VMALLOC),
          Map.entry("__vmalloc_area_node", PageKind.VMALLOC),
          Map.entry("vm_area_alloc_pages", PageKind.VMALLOC),
          Map.entry("alloc_thread_stack_node", PageKind.TASK_STACK),
          Map.entry("dup_task_struct", PageKind.TASK_STACK),
          Map.entry("pcpu_populate_chunk", PageKind.PER_CPU),
          Map.entry("pcpu_alloc_pages", PageKind.PER_CPU),
          Map.entry("kmalloc_order", PageKind.LARGE_KMALLOC),
          Map.entry("kmalloc_large_node", PageKind.LARGE_KMALLOC),
          Map.entry("__kmalloc_large_node", PageKind.LARGE_KMALLOC),
          Map.entry("___kmalloc_large_node", PageKind.LARGE_KMALLOC),
          Map.entry("pgd_alloc", PageKind.PAGE_TABLE),
          Map.entry("_pgd_alloc", PageKind.PAGE_TABLE),
          Map.entry("__p4d_alloc", PageKind.PAGE_TABLE),
          Map.entry("__pud_alloc", PageKind.PAGE_TABLE),
          Map.entry("__pmd_alloc", PageKind.PAGE_TABLE),
          Map.entry("__pte_alloc_kernel", PageKind.PAGE_TABLE),
          Map.entry("pte_alloc_one", PageKind.PAGE_TABLE),
          Map.entry("pte_alloc_one_kernel", PageKind.PAGE_TABLE),
          Map.entry("spp_getpage", PageKind.PAGE_TABLE),
          Map.entry("__change_page_attr_set_clr", PageKind.PAGE_TABLE),
          Map.entry("__change_page_attr", PageKind.PAGE_TABLE),
          Map.entry("init_espfix_ap", PageKind.PAGE_TABLE),
          Map.entry("split_large_page", PageKind.PAGE_TABLE),
          Map.entry("pti_user_pagetable_walk_p4d", PageKind.PAGE_TABLE),
          Map.entry("pti_user_pagetable_walk_pmd", PageKind.PAGE_TABLE),
          Map.entry("pti_user_pagetable_walk_pte", PageKind.PAGE_TABLE));

  /** Code in a function that symbols name. */
  static CallSite of(long address, String symbol) {
    return new CallSite(
        address, symbol, PURPOSES.getOrDefault(plainName(symbol), PageKind.KERNEL_ALLOCATION));
  }

  /**
   * A function's name without what the compiler and the kernel add to it: {@code
   * kmalloc_large_node} for {@code kmalloc_large_node_noprof.isra.0}.
   */
  static String plainName(String symbol) {
    int dot = symbol.indexOf('.');
    String name = dot > 0 ? symbol.substring(0, dot) : symbol;
    return name.endsWith(UNPROFILED)
        ? name.substring(0, name.length() - UNPROFILED.length())
        : name;
  }
}
