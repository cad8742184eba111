package dev.ringfence.cli;

import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.profile.GuestProfile;
import dev.ringfence.lab.profile.KernelFunctions;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.DetailedMode;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.profile.Profiler;
import dev.ringfence.machine.snapshot.Snapshot;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Boots a guest, from images or from a snapshot, to a console or to run one command. */
@Command(
    name = "boot",
    mixinStandardHelpOptions = true,
    description = {
      "Boots a kernel to an interactive console, or runs one command in the guest.",
      "Ctrl-] on the console opens a menu."
    },
    footer = {
      "",
      "Examples:",
      "  ringfence boot",
      "  ringfence boot --exec 'uname -a; cat /proc/cpuinfo'",
      "  ringfence boot --detailed=BOOT --exec 'dd if=/dev/zero of=/dev/null count=1000'",
      "  ringfence boot --package python3 --exec 'python3 -c \"print(6 * 7)\"'",
      "  ringfence boot --kernel test.elf --append 'argument'"
    })
final class BootCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Mixin private GuestOptions guestOptions = new GuestOptions();

  @Option(
      names = "--max-instructions",
      paramLabel = "N",
      description = "A guest that executes more is taken to be in an endless loop (status 3).")
  private long maximumInstructions = Long.MAX_VALUE;

  @Option(
      names = "--manifest",
      paramLabel = "FILE",
      description = "Write all that determines the run, and its result, to this JSON file.")
  private @Nullable Path manifestFile;

  @Option(
      names = "--replay",
      paramLabel = "MANIFEST",
      description = "Repeat the run of a manifest: same machine, same images, same console input.")
  private @Nullable Path replayFile;

  @Option(
      names = "--from",
      paramLabel = "SNAPSHOT",
      description = "Go on from a snapshot instead of booting.")
  private @Nullable Path snapshotFile;

  @Mixin private FreshOption freshOption = new FreshOption();

  @Mixin private DetailedOption detailedOption = new DetailedOption();

  @Mixin private ProfileOption profileOption = new ProfileOption();

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (snapshotFile != null) {
      if (replayFile != null) {
        throw new BadInputException("--replay and --from: expected one of them, found both");
      }
      return resume(snapshotFile);
    }
    GuestPreparation preparation = new GuestPreparation(GuestCache.ofUser(), this::progress);
    if (replayFile != null) {
      Manifest earlier = Manifest.read(replayFile);
      PreparedGuest guest = preparation.prepare(earlier.guestRequest());
      earlier.checkImages(replayFile.toString(), guest);
      return boot(
          guest,
          guestOptions.translation().applyTo(earlier.configuration()),
          earlier.guestRequest(),
          earlier);
    }
    boolean interactive = guestOptions.command() == null && InteractiveConsole.hasTerminal();
    GuestRequest request =
        guestOptions.request(interactive ? InteractiveConsole.terminalDescription() : null);
    PreparedGuest guest = preparation.prepare(request);
    return boot(guest, guestOptions.configuration(guest, this::progress), request, null);
  }

  /**
   * Boots or goes on from the cached snapshot of the booted guest.
   *
   * @param earlier the run to repeat, or null; what was typed then may have been typed during the
   *     boot, so that one does boot
   */
  private int boot(
      PreparedGuest guest,
      MachineConfiguration configuration,
      GuestRequest request,
      @Nullable Manifest earlier)
      throws IOException, InterruptedException {
    boolean command = request.command() != null;
    Function<Machine, GuestSession> connect =
        machine -> session(machine, guest.assignment(), command, request.verbose());
    BootSnapshots snapshots =
        new BootSnapshots(
            GuestCache.ofUser(), freshOption.fresh(), Ringfence.Version.RINGFENCE, this::progress);
    DetailedMode.Start from = earlier == null ? detailedOption.start() : earlier.detailed();
    BootSnapshots.Start start =
        earlier == null && from != DetailedMode.Start.UP
            ? snapshots.start(guest, configuration, connect, List.of())
            : BootSnapshots.booting(guest, configuration, connect);
    GuestSession session = start.session();
    try (Machine machine = session.machine()) {
      session.onUp(() -> snapshots.keep(start, request, guest, machine.configuration(), List.of()));
      DetailedMode detailed =
          DetailedOption.arrange(session, configuration, from, guest.assignment() != null);
      if (earlier != null) {
        session.replay(earlier.console());
      }
      // Only now, because checksums of large files take time and broken files were found above.
      Manifest manifest =
          Manifest.of(Ringfence.Version.RINGFENCE, configuration, request, guest)
              .startedFrom(start.snapshot())
              .inDetailFrom(from);
      return run(
          session,
          manifest,
          guest.image().isLinux() ? guest.image().file() : null,
          detailed,
          command,
          earlier != null);
    }
  }

  private int resume(Path file) throws IOException, InterruptedException {
    guestOptions.checkNothingBesideSnapshot();
    Snapshot snapshot = Snapshot.open(file);
    Manifest manifest = Manifest.parse(file.toString(), snapshot.manifest());
    try (Machine machine =
        new Machine(guestOptions.translation().applyTo(manifest.configuration()))) {
      GuestRequest request = manifest.guestRequest();
      boolean command = request.command() != null;
      // Of no use if the guest has been told already.
      Assignment assignment = new Assignment(request.command(), request.terminal());
      GuestSession session = session(machine, assignment, command, request.verbose());
      session.restore(snapshot);
      return run(
          session,
          manifest,
          profileOption.profile() ? kernelOf(file, manifest) : null,
          DetailedOption.arrange(session, machine.configuration(), detailedOption.start(), true),
          command,
          false);
    }
  }

  /** The kernel of a snapshot's guest for the names in a profile, or null if it is not there. */
  private @Nullable BootFile kernelOf(Path snapshot, Manifest manifest) {
    try {
      PreparedGuest guest =
          new GuestPreparation(GuestCache.ofUser(), this::progress)
              .prepare(manifest.guestRequest());
      manifest.checkImages(snapshot.toString(), guest);
      return guest.image().isLinux() ? guest.image().file() : null;
    } catch (BadInputException e) {
      progress("no names of functions in the profile: " + e.getMessage());
      return null;
    }
  }

  private GuestSession session(
      Machine machine, @Nullable Assignment assignment, boolean command, boolean verbose) {
    OutputStream out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16);
    OutputStream err = new BufferedOutputStream(new FileOutputStream(FileDescriptor.err), 1 << 13);
    return command
        ? new GuestSession(machine, assignment, maximumInstructions, err, out, verbose)
        : new GuestSession(
            machine, assignment, maximumInstructions, out, OutputStream.nullOutputStream(), true);
  }

  /**
   * @param kernel image for the names in a profile, or null
   * @param detailed of a session that changes to detailed mode, or null
   */
  private int run(
      GuestSession session,
      Manifest manifest,
      @Nullable BootFile kernel,
      @Nullable DetailedMode detailed,
      boolean command,
      boolean replay)
      throws IOException, InterruptedException {
    RunSummary summary = new RunSummary(session.machine());
    int status = ExitStatus.DEFECT;
    String end = "failed";
    Profiler profiler = profileOption.profile() ? Profiler.start(session.machine()) : null;
    try {
      StopReason reason;
      if (command || replay) {
        reason = session.runToEnd();
      } else {
        reason = new InteractiveConsole(session, manifest, this::progress).run();
      }
      status = status(session, command, reason);
      end = reason.getClass().getSimpleName();
      return status;
    } catch (GuestTroubleException trouble) {
      status = ExitStatus.GUEST_TROUBLE;
      end = "Trouble";
      throw trouble;
    } finally {
      if (manifestFile != null && status != ExitStatus.DEFECT) {
        manifest.with(session.recordedInput(), session.result(end, status)).writeTo(manifestFile);
      }
      progress(summary.line(session.machine()));
      if (detailed != null) {
        progress(detailed.summary());
      }
      if (profiler != null) {
        GuestProfile.of(profiler.stop(), KernelFunctions.of(session.machine(), kernel))
            .lines()
            .forEach(spec.commandLine().getErr()::println);
        spec.commandLine().getErr().flush();
      }
    }
  }

  private int status(GuestSession session, boolean command, StopReason reason) {
    if (reason instanceof StopReason.DebugExit(int status)) {
      return status;
    }
    if (!command) {
      if (reason instanceof StopReason.Reset) {
        progress("the guest asked for a reset");
      }
      return ExitStatus.OK;
    }
    OptionalInt status = session.commandStatus();
    if (status.isEmpty()) {
      throw new GuestTroubleException(
          session
              .machine()
              .report("the guest ended before it told the exit status of the command"));
    }
    return status.getAsInt();
  }

  private void progress(String line) {
    PrintWriter err = spec.commandLine().getErr();
    err.println("ringfence: " + line);
    err.flush();
  }
}
