package dev.ringfence.cli;

import dev.ringfence.lab.run.DetailedMode;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.silicon.model.SiliconModel;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whether, and from where, the machine executes in detail. */
final class DetailedOption {
  @Option(
      names = "--detailed",
      arity = "0..1",
      paramLabel = "START",
      fallbackValue = "UP",
      description = {
        "Execute with caches, buffers, predictors, wrong paths and cycles of the CPU model, from",
        "power-on or the snapshot (UP), when the system is up (BOOT), or from the first",
        "ringfence-mark (MARKER). Without START: UP."
      })
  private DetailedMode.@Nullable Start start;

  DetailedMode.@Nullable Start start() {
    return start;
  }

  /**
   * Arranges the change of a session to detailed mode.
   *
   * @param from where, or null: the session stays in fast mode
   * @param tellsWhenUp whether the guest's init program is ours
   * @throws BadInputException if the guest or its CPU model cannot
   */
  static @Nullable DetailedMode arrange(
      GuestSession session,
      MachineConfiguration configuration,
      DetailedMode.@Nullable Start from,
      boolean tellsWhenUp) {
    if (from == null) {
      return null;
    }
    if (from == DetailedMode.Start.BOOT && !tellsWhenUp) {
      throw new BadInputException(
          "--detailed=BOOT: expected a guest with the init program of Ringfence, which tells when"
              + " the system is up, found another one; --detailed=UP needs none");
    }
    return DetailedMode.arrange(session, SiliconModel.load(configuration.cpuModel()), from);
  }
}
