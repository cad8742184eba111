package dev.ringfence.cli;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.snapshot.Snapshot;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Saves the state of machines, and shows what was saved. */
@Command(
    name = "snapshot",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Saves the whole state of a machine; 'boot --from' goes on from there.",
    subcommands = {SnapshotCommand.Save.class, SnapshotCommand.ShowInfo.class})
final class SnapshotCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getOut());
  }

  /** Boots and saves. */
  @Command(
      name = "save",
      mixinStandardHelpOptions = true,
      description =
          "Boots a guest until its system is up, or an instruction count, and saves the machine.")
  static final class Save implements Callable<Integer> {
    /** Guest time between looks at whether the system is up. */
    private static final long STEP_NANOSECONDS = 1_000_000;

    @Spec private CommandSpec spec;

    @Parameters(paramLabel = "SNAPSHOT", description = "The file to write.")
    private Path file = Path.of("");

    @Mixin private GuestOptions guestOptions = new GuestOptions();

    @Option(
        names = "--at",
        paramLabel = "N",
        description =
            "Instructions after which to save. Default: when the system is up, before the shell or command starts.")
    private @Nullable Long at;

    @Override
    public Integer call() {
      if (Files.isDirectory(file)) {
        throw new BadInputException(file + ": expected a file to write, found a folder");
      }
      GuestRequest request = guestOptions.request(null);
      PreparedGuest guest =
          new GuestPreparation(GuestCache.ofUser(), this::progress).prepare(request);
      if (at == null && (!guest.image().isLinux() || request.initrd() != null)) {
        throw new BadInputException(
            "snapshot save: expected --at N, because only the initramfs that is built here tells when its system is up, found none");
      }
      MachineConfiguration configuration = guestOptions.configuration(guest, this::progress);
      Manifest manifest = Manifest.of(Ringfence.Version.RINGFENCE, configuration, request, guest);
      try (Machine machine = new Machine(configuration)) {
        guest.loadInto(machine);
        GuestSession session =
            new GuestSession(
                machine,
                guest.assignment(),
                Long.MAX_VALUE,
                guestOptions.verbose() ? System.err : OutputStream.nullOutputStream(),
                OutputStream.nullOutputStream(),
                true);
        session.setUnattended();
        RunSummary summary = new RunSummary(machine);
        Optional<StopReason> end =
            at == null ? untilStarted(session) : session.runUntilInstruction(at);
        progress(summary.line(machine));
        if (end.isPresent()) {
          throw new BadInputException(
              "snapshot save: expected the guest to run on, found that it ended before: "
                  + end.get());
        }
        session.saveSnapshot(file, manifest);
        progress("%s: %.1f MB".formatted(file, Snapshot.open(file).bytes() / 1e6));
      }
      return ExitStatus.OK;
    }

    private static Optional<StopReason> untilStarted(GuestSession session) {
      Optional<StopReason> end = Optional.empty();
      while (end.isEmpty() && !session.started()) {
        end = session.advance(STEP_NANOSECONDS);
      }
      return end;
    }

    private void progress(String line) {
      spec.commandLine().getErr().println("ringfence: " + line);
      spec.commandLine().getErr().flush();
    }
  }

  /** Shows a manifest. */
  @Command(
      name = "info",
      mixinStandardHelpOptions = true,
      description = "Checks a snapshot and prints its manifest.")
  static final class ShowInfo implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Parameters(paramLabel = "SNAPSHOT", description = "The file to read.")
    private Path file = Path.of("");

    @Override
    public Integer call() {
      Snapshot snapshot = Snapshot.open(file);
      spec.commandLine().getOut().print(snapshot.manifest());
      spec.commandLine().getOut().flush();
      return ExitStatus.OK;
    }
  }
}
