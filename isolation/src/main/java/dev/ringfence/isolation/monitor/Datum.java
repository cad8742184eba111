package dev.ringfence.isolation.monitor;

import dev.ringfence.linux.provenance.PageKind;

/**
 * What an access that caused an exit touched.
 *
 * @param kind of the page
 * @param name of its provenance: slab cache, file, variable, function that allocated it
 * @param type kernel type of the object, or empty
 * @param field of the type, or empty
 * @param user whether the page was allocated with GFP_USER flags
 */
public record Datum(PageKind kind, String name, String type, String field, boolean user) {
  /** For people: {@code slab filp}, {@code data jiffies}. */
  public String text() {
    return name.isEmpty() ? kind.id() : kind.id() + " " + name;
  }
}
