package dev.ringfence.isolation.policy;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;

/**
 * What may have been left in the processor's microarchitectural state, and by whom. Data taints:
 * secrets of a victim linger in caches and buffers. Control taints: an attacker has trained the
 * predictors. The model is that of RFC v2 (Message-ID
 * 20250110-asi-rfc-v2-v2-3-8419288bc805@google.com); the kernel is nobody's attacker, so there is
 * no KERNEL_CONTROL.
 *
 * <p>Sets of taints are bit masks, as they change at every transition.
 */
public enum Taint {
  /** Data that the kernel touched in the unrestricted address space. */
  KERNEL_DATA(0x01),
  /** Data of the process, or of the kernel on its behalf in its restricted address space. */
  USER_DATA(0x02),
  /** Data of the process's virtual machine. */
  GUEST_DATA(0x04),
  /** Data of another process or its virtual machine. */
  OTHER_MM_DATA(0x08),
  /** Predictors trained by the process. */
  USER_CONTROL(0x10),
  /** Predictors trained by the process's virtual machine. */
  GUEST_CONTROL(0x20),
  /** Predictors trained by another process or its virtual machine. */
  OTHER_MM_CONTROL(0x40);

  /** All data taints. */
  public static final int DATA = 0x0f;

  /** All control taints. */
  public static final int CONTROL = 0x70;

  private final int bit;

  Taint(int bit) {
    this.bit = bit;
  }

  /** The bit of this taint in a mask. */
  public int bit() {
    return bit;
  }

  /** Name in policies: {@code other-mm-control}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** The mask of several taints. */
  public static int mask(Collection<Taint> taints) {
    int mask = 0;
    for (Taint taint : taints) {
      mask |= taint.bit();
    }
    return mask;
  }

  /** For people: {@code kernel-data, user-control}, or {@code none}. */
  public static String text(int mask) {
    List<String> names = new ArrayList<>();
    for (Taint taint : values()) {
      if ((mask & taint.bit()) != 0) {
        names.add(taint.id());
      }
    }
    return names.isEmpty() ? "none" : String.join(", ", names);
  }
}
