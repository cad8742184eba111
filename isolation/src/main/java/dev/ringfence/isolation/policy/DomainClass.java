package dev.ringfence.isolation.policy;

import java.util.Locale;

/** What kind of untrusted code a domain confines. */
public enum DomainClass {
  /** A process. */
  USERSPACE,
  /** A virtual machine, run by a process. */
  KVM;

  /** Name in policies: {@code userspace}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }
}
