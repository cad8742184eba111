package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.monitor.LinuxKernel;
import dev.ringfence.isolation.monitor.OpaqueKernel;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.provenance.AllocationHistory;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.snapshot.Snapshot;
import dev.ringfence.machine.snapshot.Stateful;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The state of a guest, and what is known of its kernel, from which any number of machines go on:
 * each as if it had come here alone. May be used by several threads.
 */
public final class SavedGuest implements AutoCloseable {
  private final Experiment experiment;
  private final Path file;
  private final Snapshot snapshot;
  private final @Nullable KernelImage image;

  private SavedGuest(
      Experiment experiment, Path file, Snapshot snapshot, @Nullable KernelImage image) {
    this.experiment = experiment;
    this.file = file;
    this.snapshot = snapshot;
    this.image = image;
  }

  /**
   * Saves the state of a guest, which goes on.
   *
   * @param experiment that the guest was booted for
   * @param file for the state; it belongs to the result and is deleted with it
   * @param version of Ringfence
   */
  public static SavedGuest of(
      Experiment experiment, GuestBoot.Booted guest, Path file, String version) {
    LinuxKernel linux = guest.kernel() instanceof LinuxKernel kernel ? kernel : null;
    guest
        .session()
        .saveSnapshot(
            file,
            Manifest.of(
                version, experiment.configuration(), experiment.request(), experiment.guest()),
            observers(linux == null ? null : linux.allocations()),
            Snapshot.Storage.PLAIN);
    return new SavedGuest(
        experiment, file, Snapshot.open(file), linux == null ? null : linux.running().image());
  }

  /**
   * A guest of its own in that state, with nobody at its terminals.
   *
   * @param pool of the experiment's configuration, to which the machine goes back
   * @param output takes what the command prints from here on
   */
  public GuestBoot.Booted resume(MachinePool pool, OutputStream output) {
    Machine machine = pool.take();
    try {
      GuestSession session =
          new GuestSession(
              machine,
              experiment.guest().assignment(),
              experiment.maximumInstructions(),
              OutputStream.nullOutputStream(),
              output,
              false);
      AllocationHistory allocations = image == null ? null : new AllocationHistory();
      session.restore(snapshot, observers(allocations));
      session.setUnattended();
      return new GuestBoot.Booted(
          session,
          image == null ? new OpaqueKernel() : new LinuxKernel(image, machine, allocations),
          null);
    } catch (RuntimeException | Error e) {
      machine.close();
      throw e;
    }
  }

  private static List<Stateful> observers(@Nullable AllocationHistory allocations) {
    return allocations == null ? List.of() : List.of(allocations);
  }

  /** Forgets the state; machines that have gone on from it stay. */
  @Override
  public void close() {
    file.toFile().delete();
  }
}
