package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.LinuxKernel;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.symbol.Symbol;
import java.util.ArrayList;
import java.util.List;

/** Which of its own mitigations a kernel runs with, by its variables. */
final class Mitigations {
  /** Variables of arch/x86/kernel/cpu/bugs.c: 0 is off in all of them. */
  private static final List<String> VARIABLES =
      List.of(
          "l1tf_mitigation",
          "mds_mitigation",
          "taa_mitigation",
          "mmio_mitigation",
          "spectre_v1_mitigation",
          "spectre_v2_enabled",
          "retbleed_mitigation",
          "ssb_mode",
          "srso_mitigation");

  private Mitigations() {}

  static List<String> of(Experiment experiment, KernelView view) {
    List<String> lines = new ArrayList<>();
    lines.add(
        experiment.guestMitigations()
            ? "The kernel's own mitigations were left on, as it chooses them for this processor."
            : "The kernel's own mitigations were off: %s on its command line."
                .formatted(Experiment.WITHOUT_MITIGATIONS));
    if (!(view instanceof LinuxKernel linux)) {
      return lines;
    }
    RunningKernel kernel = linux.running();
    List<String> on = new ArrayList<>();
    List<String> off = new ArrayList<>();
    for (String variable : VARIABLES) {
      Symbol symbol = kernel.symbols().find(variable);
      if (symbol != null) {
        int value = kernel.memory().readInt(symbol.address());
        (value == 0 ? off : on).add(value == 0 ? variable : variable + "=" + value);
      }
    }
    lines.add("On, by the kernel's variables: " + (on.isEmpty() ? "none" : String.join(", ", on)));
    lines.add("Off: " + (off.isEmpty() ? "none" : String.join(", ", off)));
    return lines;
  }
}
