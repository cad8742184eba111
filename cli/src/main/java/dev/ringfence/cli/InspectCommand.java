package dev.ringfence.cli;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.inspect.CodeInspection;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.snapshot.Snapshot;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Shows what becomes of guest code. */
@Command(
    name = "inspect",
    mixinStandardHelpOptions = true,
    description = {
      "Shows guest code as the machine sees it: instructions, the micro-operations of each, and the",
      "bytecode that they become. Nothing that is shown is executed."
    },
    footer = {
      "",
      "Examples:",
      "  ringfence inspect --at do_syscall_64",
      "  ringfence inspect --at kmem_cache_alloc+0x40 --from up.snapshot",
      "  ringfence inspect --code '48 01 d8 75 fb c3'",
      "",
      "How to read it: docs/profile.md."
    })
final class InspectCommand implements Callable<Integer> {
  /** Guest time between looks at whether the system is up. */
  private static final long STEP = 1_000_000;

  @Spec private CommandSpec spec;

  @Option(
      names = "--at",
      paramLabel = "ADDRESS",
      description = {
        "A hexadecimal linear address, or a symbol of the kernel, +0x10 after it or not.",
        "The guest is the default one, with its system up, unless --from names another."
      })
  private @Nullable String place;

  @Option(
      names = "--from",
      paramLabel = "SNAPSHOT",
      description = "Look into the machine of a snapshot.")
  private @Nullable Path snapshotFile;

  @Option(
      names = "--code",
      paramLabel = "BYTES",
      description = "Show these bytes, in hexadecimal, without any guest.")
  private @Nullable String code;

  @Option(
      names = "--width",
      paramLabel = "BITS",
      defaultValue = "64",
      description = "Width of the code of --code: 16, 32 or 64. Default: ${DEFAULT-VALUE}.")
  private int width = 64;

  @Override
  public Integer call() {
    if ((place == null) == (code == null)) {
      throw new BadInputException(
          "inspect: expected --at ADDRESS or --code BYTES, found "
              + (place == null ? "neither" : "both"));
    }
    if (code != null) {
      if (snapshotFile != null) {
        throw new BadInputException("--from: expected --at beside it, found --code");
      }
      print(CodeInspection.ofBytes(code, width));
    } else if (snapshotFile != null) {
      print(ofSnapshot(snapshotFile, place));
    } else {
      print(ofDefaultGuest(place));
    }
    return ExitStatus.OK;
  }

  private List<String> ofSnapshot(Path file, String at) {
    Snapshot snapshot = Snapshot.open(file);
    Manifest manifest = Manifest.parse(file.toString(), snapshot.manifest());
    // The image has the symbols.
    PreparedGuest guest = preparation().prepare(manifest.guestRequest());
    manifest.checkImages(file.toString(), guest);
    try (Machine machine = new Machine(manifest.configuration())) {
      session(machine, guest).restore(snapshot);
      return CodeInspection.at(machine, kernel(guest), at);
    }
  }

  private List<String> ofDefaultGuest(String at) {
    GuestRequest request =
        new GuestRequest(null, null, List.of(), List.of(), "true", "", null, false);
    PreparedGuest guest = preparation().prepare(request);
    MachineConfiguration configuration = MachineConfiguration.of(MachineOptions.DEFAULT_MEMORY, 1);
    BootSnapshots snapshots =
        new BootSnapshots(GuestCache.ofUser(), false, Ringfence.Version.RINGFENCE, this::progress);
    Function<Machine, GuestSession> connect = machine -> session(machine, guest);
    BootSnapshots.Start start = snapshots.start(guest, configuration, connect, List.of());
    GuestSession session = start.session();
    try (Machine machine = session.machine()) {
      session.onUp(() -> snapshots.keep(start, request, guest, configuration, List.of()));
      while (!session.started()) {
        if (session.advance(STEP).isPresent()) {
          throw new GuestTroubleException(machine.report("the guest ended before it was up"));
        }
      }
      return CodeInspection.at(machine, kernel(guest), at);
    }
  }

  private GuestPreparation preparation() {
    return new GuestPreparation(GuestCache.ofUser(), this::progress);
  }

  private static @Nullable BootFile kernel(PreparedGuest guest) {
    return guest.image().isLinux() ? guest.image().file() : null;
  }

  private static GuestSession session(Machine machine, PreparedGuest guest) {
    return new GuestSession(
        machine,
        guest.assignment(),
        Long.MAX_VALUE,
        OutputStream.nullOutputStream(),
        OutputStream.nullOutputStream(),
        false);
  }

  private void print(List<String> lines) {
    lines.forEach(spec.commandLine().getOut()::println);
    spec.commandLine().getOut().flush();
  }

  private void progress(String line) {
    spec.commandLine().getErr().println("ringfence: " + line);
    spec.commandLine().getErr().flush();
  }
}
