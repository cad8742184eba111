package dev.ringfence.isolation.policy;

import java.util.Locale;

/** Where a page of kernel memory is mapped, from the most exposed to the least. */
public enum Disposition {
  /** Mapped in the restricted address space of every domain. */
  NONSENSITIVE,
  /**
   * Mapped only in the domains of the process that owns it. Memory whose owner is not known (owner
   * 0) belongs to no domain and is mapped in none.
   */
  LOCAL,
  /**
   * Sensitive, but an access maps it for a moment, in the accessing process and on the accessing
   * processor, instead of leaving the restricted address space (mermap, formerly ephmap).
   */
  EPHEMERAL,
  /** Mapped in no restricted address space: an access leaves it. */
  SENSITIVE;

  /** Name in policies: {@code nonsensitive}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }
}
