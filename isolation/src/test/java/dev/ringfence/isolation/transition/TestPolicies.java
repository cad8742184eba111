package dev.ringfence.isolation.transition;

import dev.ringfence.isolation.policy.Policy;
import java.util.ArrayList;
import java.util.List;

/** The published policies, and others that use what those do not. */
final class TestPolicies {
  private TestPolicies() {}

  /** Stays restricted wherever it can, and lets everybody's taints matter. */
  static final Policy SUSPICIOUS =
      policy("suspicious", "stay", "stay", "stay", "[IBPB, RSB_FILL]", "[L1D_FLUSH]", "[VERW]");

  static final Policy BY_PROCESS =
      policy("by-process", "stay", "stay", "exit-if-mm-changes", "[IBPB]", "[VERW]", "[]");

  static final Policy RESUMING =
      policy("resuming", "stay", "exit-and-resume", "stay", "[RSB_FILL]", "[L1D_FLUSH]", "[]");

  static List<Policy> all() {
    List<Policy> all = new ArrayList<>(Policy.builtIn().stream().map(Policy::load).toList());
    all.removeIf(policy -> !policy.isolates());
    all.add(SUSPICIOUS);
    all.add(BY_PROCESS);
    all.add(RESUMING);
    return all;
  }

  private static Policy policy(
      String name,
      String onKernelEntry,
      String onInterrupt,
      String onContextSwitch,
      String control,
      String data,
      String always) {
    return Policy.parse(
        """
        name: %s
        title: For tests
        mapping:
          default: sensitive
        own-user-memory: mapped
        fill: eager
        free-pages: keep
        on-kernel-entry: %s
        on-interrupt: %s
        on-context-switch: %s
        pcid: true
        flush:
          control: %s
          data: %s
          at-enter: %s
          at-exit: %s
        classes:
          userspace:
            prevent-control: [guest-control, other-mm-control]
            protect-data: [kernel-data, guest-data, other-mm-data]
            set: [user-control, user-data]
          kvm:
            prevent-control: [other-mm-control]
            protect-data: [kernel-data, user-data, other-mm-data]
            set: [guest-control, guest-data]
        """
            .formatted(
                name, onKernelEntry, onInterrupt, onContextSwitch, control, data, always, always),
        name);
  }
}
