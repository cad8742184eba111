package dev.ringfence.linux.provenance;

/**
 * What one page of kernel address space is.
 *
 * @param kind what it is used for
 * @param name more about it, empty if nothing is known: the slab cache, the function that made a
 *     vmalloc area or allocated the pages, the module, the file, the variable of the image
 * @param owner address of the {@code struct mm_struct} of the one process it belongs to, 0 if it
 *     belongs to the kernel, to several processes or if that is not known
 * @param user whether it was allocated with GFP_USER flags (__GFP_HARDWALL)
 */
public record Provenance(PageKind kind, String name, long owner, boolean user) {
  /** Kind and name, for people: {@code slab filp}. */
  public String text() {
    return name.isEmpty() ? kind.id() : kind.id() + " " + name;
  }
}
