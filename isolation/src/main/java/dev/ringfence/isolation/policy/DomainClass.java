package dev.ringfence.isolation.policy;

import java.util.Locale;

/** What kind of untrusted code a domain confines. */
public enum DomainClass {
  /** A process. */
  USERSPACE,
  /** A virtual machine, run by a process. Policies may speak of it; nothing runs in it yet. */
  KVM;

  /** Name in policies: {@code userspace}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }
}
