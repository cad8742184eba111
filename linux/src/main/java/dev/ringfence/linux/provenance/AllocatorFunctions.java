package dev.ringfence.linux.provenance;

import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.machine.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The functions of the page allocator (Linux, mm/page_alloc.c) that a kernel has. */
final class AllocatorFunctions {
  /**
   * The innermost allocation function, newest first: {@code (gfp_t gfp, unsigned int order, ...)}
   * returns a struct page or null.
   */
  private static final List<String> ALLOCATE =
      List.of(
          "__alloc_frozen_pages_noprof",
          "__alloc_pages_noprof",
          "__alloc_pages",
          "__alloc_pages_nodemask");

  /**
   * Many pages at once: {@code (gfp, nid, nodemask, count, list, array)}, without the list since
   * Linux 6.14; returns how many entries of the array, or at the head of the list, are filled.
   */
  private static final List<String> ALLOCATE_MANY =
      List.of("alloc_pages_bulk_noprof", "__alloc_pages_bulk");

  /**
   * Functions that pass requests on; whoever called them is the one that wants the pages. Names
   * without suffix {@code _noprof}.
   */
  private static final List<String> WRAPPERS =
      List.of(
          "__alloc_pages",
          "alloc_pages",
          "alloc_pages_current",
          "alloc_pages_vma",
          "alloc_pages_mpol",
          "alloc_pages_preferred_many",
          "alloc_frozen_pages",
          "alloc_page_interleave",
          "alloc_pages_bulk_array_mempolicy",
          "alloc_pages_bulk_mempolicy",
          "__folio_alloc",
          "folio_alloc",
          "folio_alloc_mpol",
          "vma_alloc_folio",
          "__get_free_pages",
          "get_free_pages",
          "get_zeroed_page",
          "__page_cache_alloc",
          "filemap_alloc_folio",
          "alloc_pages_exact",
          "alloc_pages_node");

  /** Functions of the allocator that clear and prepare new pages before they return them. */
  private static final Set<String> ALLOCATOR =
      Set.of(
          "get_page_from_freelist",
          "prep_new_page",
          "post_alloc_hook",
          "kernel_init_pages",
          "kernel_init_free_pages",
          "clear_highpages_kasan_tagged",
          "__alloc_pages_bulk",
          "alloc_pages_bulk",
          "__alloc_pages",
          "__alloc_frozen_pages",
          "__alloc_pages_nodemask");

  /** Functions that clear one page: {@code (void *page)}; arch/x86/lib/clear_page_64.S. */
  private static final List<String> CLEAR_PAGE =
      List.of("clear_page_orig", "clear_page_rep", "clear_page_erms");

  /** How a function that frees names the pages. */
  enum Freeing {
    /** {@code (struct page *page)}. */
    PAGE,
    /** {@code (struct page *page, unsigned int order, ...)}. */
    PAGES,
    /** {@code (struct list_head *list)} of single pages. */
    LIST,
    /** {@code (struct folio_batch *folios)}. */
    FOLIOS
  }

  /** A function that frees. */
  record Free(long address, Freeing arguments) {}

  /** A function's code, from its symbol to the next. */
  record Code(long start, long end) {}

  private final SymbolTable symbols;
  private final long allocate;
  private final @Nullable Symbol allocateMany;
  private final List<Code> wrappers = new ArrayList<>();
  private final List<Long> clearPage = new ArrayList<>();
  private final List<Free> frees = new ArrayList<>();

  AllocatorFunctions(SymbolTable symbols, KernelImage image) {
    this.symbols = symbols;
    Symbol innermost = first(ALLOCATE);
    if (innermost == null) {
      throw new BadInputException(
          "%s: expected one of the page allocator's functions %s, found none; kernels that work:"
                  .formatted(image.name(), String.join(", ", ALLOCATE))
              + " x86-64, Linux 5.10 or later, such as Debian's");
    }
    allocate = innermost.address();
    allocateMany = first(ALLOCATE_MANY);
    for (String name : WRAPPERS) {
      addWrapper(name);
      addWrapper(name + "_noprof");
    }
    for (String name : CLEAR_PAGE) {
      symbols.address(name).ifPresent(clearPage::add);
    }
    addFree("free_unref_page", image.isAtLeast(5, 14) ? Freeing.PAGES : Freeing.PAGE);
    addFree("free_unref_page_list", Freeing.LIST);
    addFree("free_unref_folios", Freeing.FOLIOS);
    addFree("free_frozen_pages", Freeing.PAGES);
    addFree("__free_frozen_pages", Freeing.PAGES);
    addFree("__free_pages_ok", Freeing.PAGES);
  }

  private @Nullable Symbol first(List<String> names) {
    for (String name : names) {
      Symbol symbol = symbols.find(name);
      if (symbol != null) {
        return symbol;
      }
    }
    return null;
  }

  private void addWrapper(String name) {
    Symbol symbol = symbols.find(name);
    if (symbol != null && symbol.address() != allocate) {
      wrappers.add(new Code(symbol.address(), endOf(symbol.address())));
    }
  }

  /** The address of the next symbol. */
  private long endOf(long start) {
    List<Symbol> all = symbols.all();
    int low = 0;
    int high = all.size();
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (Long.compareUnsigned(all.get(middle).address(), start) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < all.size() ? all.get(low).address() : start;
  }

  private void addFree(String name, Freeing arguments) {
    symbols.address(name).ifPresent(address -> frees.add(new Free(address, arguments)));
  }

  /** Entry of the innermost function that allocates. */
  long allocate() {
    return allocate;
  }

  /** Entry of the function that allocates many pages at once, or 0. */
  long allocateMany() {
    return allocateMany == null ? 0 : allocateMany.address();
  }

  /** Whether that function takes a list beside the array. */
  boolean allocateManyTakesList(KernelImage image) {
    return !image.isAtLeast(6, 14);
  }

  /** Functions that pass requests on. */
  List<Code> wrappers() {
    return wrappers;
  }

  /** Whether code is in a function that passes requests on. */
  boolean isWrapper(long address) {
    for (Code code : wrappers) {
      if (Long.compareUnsigned(address - code.start, code.end - code.start) < 0) {
        return true;
      }
    }
    return false;
  }

  /** Entries of the functions that clear one page. */
  List<Long> clearPage() {
    return clearPage;
  }

  /** Whether code belongs to the part of the allocator that clears and prepares new pages. */
  boolean isAllocator(long address) {
    Symbol symbol = symbols.at(address);
    return symbol != null && ALLOCATOR.contains(CallSite.plainName(symbol.name()));
  }

  /**
   * Entry of {@code post_alloc_hook(struct page *page, unsigned int order, gfp_t gfp, ...)}, or 0.
   * The allocator calls it or has it inlined; compaction, which takes pages out of the free lists
   * itself, calls it too.
   */
  long prepare() {
    return symbols.address("post_alloc_hook").orElse(0);
  }

  /** Functions that free. */
  List<Free> frees() {
    return frees;
  }
}
