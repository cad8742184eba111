package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.LinuxKernel;
import dev.ringfence.isolation.monitor.OpaqueKernel;
import dev.ringfence.isolation.policy.Behaviour;
import dev.ringfence.isolation.policy.KernelNames;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.UnknownName;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.provenance.AllocationHistory;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Brings the guest of an experiment to where its command begins, without isolation: it boots, or
 * goes on from the snapshot of a boot.
 */
public final class GuestBoot {
  /** Virtual time between looks at progress and interruptions. */
  static final long STEP = 2_000_000;

  private final Experiment experiment;
  private final OutputStream console;
  private final OutputStream output;
  private final BooleanSupplier interrupted;
  private final LongConsumer progress;
  private final @Nullable BootSnapshots snapshots;

  /**
   * @param console takes what the guest writes to its console
   * @param output takes what the command prints
   * @param interrupted whether the boot is to be given up
   * @param progress told the instructions since power-on, every few milliseconds of virtual time
   * @param snapshots of booted guests, from which it goes on if there is one; null to boot
   */
  public GuestBoot(
      Experiment experiment,
      OutputStream console,
      OutputStream output,
      BooleanSupplier interrupted,
      LongConsumer progress,
      @Nullable BootSnapshots snapshots) {
    this.experiment = experiment;
    this.console = console;
    this.output = output;
    this.interrupted = interrupted;
    this.progress = progress;
    this.snapshots = snapshots;
  }

  /**
   * A guest whose command is about to begin.
   *
   * @param session with the machine, which the caller closes
   * @param kernel what can be known of it
   * @param snapshot name of the snapshot from which it went on, or null if it booted
   */
  public record Booted(GuestSession session, KernelView kernel, @Nullable String snapshot) {}

  /**
   * Boots.
   *
   * @throws BadInputException if the kernel lacks what the policies need, a policy names what it
   *     does not have, or the boot was interrupted
   * @throws GuestTroubleException if the guest does not come up
   */
  public Booted run() {
    // To unpack the image and to read its symbols and types takes half a second.
    Ahead<Optional<KernelImage>> image = Ahead.of("kernel image", this::kernelImage);
    AllocationHistory allocations = new AllocationHistory();
    BootSnapshots.Start start = start(allocations);
    GuestSession session = start.session();
    session.setUnattended();
    try {
      return new Booted(session, boot(start, image, allocations), start.snapshot());
    } catch (RuntimeException | Error e) {
      session.machine().close();
      throw e;
    }
  }

  private BootSnapshots.Start start(AllocationHistory allocations) {
    Function<Machine, GuestSession> connect =
        machine ->
            new GuestSession(
                machine,
                experiment.guest().assignment(),
                experiment.maximumInstructions(),
                console,
                output,
                experiment.ownInitramfs());
    return snapshots == null
        ? BootSnapshots.booting(experiment.guest(), experiment.configuration(), connect)
        : snapshots.start(
            experiment.guest(), experiment.configuration(), connect, List.of(allocations));
  }

  /** The image, or nothing if it cannot be read and no policy needs it. */
  private Optional<KernelImage> kernelImage() {
    BootFile file = experiment.guest().image().file();
    boolean mustRead = experiment.policies().stream().anyMatch(GuestBoot::looksAtPages);
    try {
      KernelImage image = KernelImage.of(file.bytes(), file.baseName());
      image.symbols();
      image.types();
      return Optional.of(image);
    } catch (BadInputException e) {
      if (!mustRead) {
        return Optional.empty();
      }
      throw new BadInputException(
          e.getMessage() + "; without that, --policy kpti and --policy none can be run", e);
    }
  }

  /** Whether a policy must know what the kernel touches. */
  private static boolean looksAtPages(Policy policy) {
    return policy.isolates() && policy.behaviour().onKernelEntry() != Behaviour.OnKernelEntry.EXIT;
  }

  private void checkNames(LinuxKernel kernel) {
    List<String> unknown = new ArrayList<>();
    KernelNames names = kernel.names();
    for (Policy policy : experiment.policies()) {
      for (UnknownName name : policy.checkNames(names)) {
        unknown.add(name.message());
      }
    }
    if (!unknown.isEmpty()) {
      throw new BadInputException(String.join(System.lineSeparator() + "  ", unknown));
    }
  }

  /**
   * Runs until the workload's command begins, or the first user instruction.
   *
   * @param allocations what was seen before the snapshot, if the run goes on from one
   */
  private KernelView boot(
      BootSnapshots.Start start,
      Ahead<Optional<KernelImage>> image,
      AllocationHistory allocations) {
    GuestSession session = start.session();
    Machine machine = session.machine();
    LinuxKernel[] kernel = {null};
    boolean unreadable = false;
    boolean[] user = {false};
    Probe firstUser =
        new Probe() {
          @Override
          public void kernelLeft(Processor processor) {
            user[0] = true;
            machine.requestStop();
          }
        };
    if (experiment.ownInitramfs()) {
      machine.probes().add(firstUser);
    }
    if (start.isFromSnapshot()) {
      kernel[0] = image.get().map(read -> new LinuxKernel(read, machine, allocations)).orElse(null);
      unreadable = kernel[0] == null;
    } else {
      session.onUp(() -> kernel[0] = systemIsUp(start, image.get(), kernel[0]));
    }
    while (experiment.ownInitramfs() ? !user[0] : !session.started()) {
      if (session.advance(STEP).isPresent()) {
        throw new GuestTroubleException(
            machine.report("the guest ended before its command had begun"));
      }
      if (interrupted.getAsBoolean()) {
        throw new BadInputException("interrupted while the guest booted: nothing was counted yet");
      }
      if (kernel[0] == null && !unreadable) {
        image.check();
        if (RunningKernel.isUp(machine)) {
          kernel[0] = image.get().map(read -> new LinuxKernel(read, machine)).orElse(null);
          unreadable = kernel[0] == null;
        }
      }
      progress.accept(machine.instructions());
    }
    machine.probes().remove(firstUser);
    if (kernel[0] == null) {
      return new OpaqueKernel();
    }
    checkNames(kernel[0]);
    return kernel[0];
  }

  /**
   * The guest has come up. From here on the run is as one that goes on from the snapshot: its view
   * of the kernel is made at this point, with what was seen of allocations so far.
   *
   * @param image empty if it cannot be read
   * @param kernel as it was seen so far; null if it was not
   */
  private @Nullable LinuxKernel systemIsUp(
      BootSnapshots.Start start, Optional<KernelImage> image, @Nullable LinuxKernel kernel) {
    AllocationHistory allocations = kernel == null ? new AllocationHistory() : kernel.allocations();
    if (kernel != null) {
      kernel.release();
    }
    if (snapshots != null && (image.isEmpty() || kernel != null)) {
      snapshots.keep(
          start,
          experiment.request(),
          experiment.guest(),
          experiment.configuration(),
          List.of(allocations));
    }
    return image.isEmpty() || kernel == null
        ? null
        : new LinuxKernel(image.get(), start.session().machine(), allocations);
  }
}
