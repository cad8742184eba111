package dev.ringfence.cli;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.lab.run.TinyGuest;
import dev.ringfence.lab.workload.Workload;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/**
 * Does what the other commands do at their start, on a guest of two hundred bytes, so that the
 * JDK's ahead-of-time cache gets to know our classes. For the launcher; writes nothing and needs no
 * network.
 */
@Command(name = "rehearse", hidden = true, description = "For the launcher: see ARCHITECTURE.md.")
final class RehearseCommand implements Callable<Integer> {
  @Override
  public Integer call() throws IOException {
    PrintWriter nowhere = new PrintWriter(Writer.nullWriter());
    for (CommandLine command : Ringfence.commandLine().getSubcommands().values()) {
      command.usage(nowhere);
    }
    Policy.builtIn().forEach(Policy::load);
    CostModel.load(CostModel.DEFAULT);
    Workload.builtIn().forEach(Workload::load);
    Path folder = Files.createTempDirectory("ringfence");
    try {
      GuestCache cache = new GuestCache(folder);
      // The first one boots and keeps its snapshot, the second goes on from that.
      boot(cache);
      boot(cache);
    } finally {
      try (Stream<Path> files = Files.walk(folder)) {
        files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
      }
    }
    return ExitStatus.OK;
  }

  private static void boot(GuestCache cache) {
    String command = "true";
    PreparedGuest guest = TinyGuest.prepared(command, "");
    GuestRequest request = TinyGuest.request(command);
    MachineConfiguration configuration = TinyGuest.configuration();
    OutputStream nowhere = OutputStream.nullOutputStream();
    BootSnapshots snapshots =
        new BootSnapshots(cache, false, Ringfence.Version.RINGFENCE, line -> {});
    BootSnapshots.Start start =
        snapshots.start(
            guest,
            configuration,
            machine ->
                new GuestSession(
                    machine, guest.assignment(), Long.MAX_VALUE, nowhere, nowhere, false),
            List.of());
    GuestSession session = start.session();
    try (Machine machine = session.machine()) {
      session.onUp(() -> snapshots.keep(start, request, guest, configuration, List.of()));
      RunSummary summary = new RunSummary(machine);
      String end = session.runToEnd().getClass().getSimpleName();
      Manifest manifest =
          Manifest.of(Ringfence.Version.RINGFENCE, configuration, request, guest)
              .with(session.recordedInput(), session.result(end, 0));
      Manifest.parse(summary.line(machine), manifest.toJson());
    }
  }
}
