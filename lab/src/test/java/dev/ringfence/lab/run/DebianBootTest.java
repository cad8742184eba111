package dev.ringfence.lab.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.bench.ReferenceJob;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.ConsolePort;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.snapshot.Snapshot;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Debian's kernel, unmodified, with busybox: fetched with apt, as a user's would be. */
@Tag("slow")
@Execution(ExecutionMode.CONCURRENT)
final class DebianBootTest {
  private static final long MEMORY = 256L << 20;

  /** Several times what a boot takes: a guest that needs more hangs. */
  private static final long MOST_INSTRUCTIONS = 12_000_000_000L;

  /** Guest time between looks at the console. */
  private static final long STEP = 5_000_000;

  private static final GuestPreparation PREPARATION =
      new GuestPreparation(GuestCache.ofUser(), line -> {});

  @TempDir private Path folder;

  /** A run with its output. */
  private static final class Run implements AutoCloseable {
    private final ByteArrayOutputStream console = new ByteArrayOutputStream();
    private final ByteArrayOutputStream output = new ByteArrayOutputStream();
    private final PreparedGuest guest;
    private final Machine machine;
    private final GuestSession session;

    Run(MachineConfiguration configuration, PreparedGuest guest, boolean consoleFromStart) {
      this.guest = guest;
      machine = new Machine(configuration);
      session =
          new GuestSession(
              machine, guest.assignment(), MOST_INSTRUCTIONS, console, output, consoleFromStart);
    }

    Run booting() {
      guest.loadInto(machine);
      return this;
    }

    String console() {
      return console.toString(StandardCharsets.UTF_8);
    }

    void runUntilConsoleShows(String text) {
      while (!console().contains(text)) {
        assertTrue(
            session.advance(STEP).isEmpty(),
            () -> "expected '" + text + "' on the console, found:\n" + console());
      }
    }

    void type(String text) {
      session.input(ConsolePort.COM1, text.getBytes(StandardCharsets.UTF_8));
    }

    /** All that the outcome of a run consists of. */
    String outcome() {
      return "%d instructions, %d ns, status %s, output:%n%s"
          .formatted(
              machine.instructions(),
              machine.nanoseconds(),
              session.commandStatus(),
              output.toString(StandardCharsets.UTF_8));
    }

    @Override
    public void close() {
      machine.close();
    }
  }

  private static PreparedGuest interactiveGuest() {
    return PREPARATION.prepare(
        new GuestRequest(null, null, List.of(), List.of(), null, "", null, false));
  }

  @Test
  void oneProcessorBootsToAShellThatAnswersAndPowersOff() {
    try (Run run =
        new Run(MachineConfiguration.of(MEMORY, 1), interactiveGuest(), true).booting()) {
      run.runUntilConsoleShows("root@ringfence:~# ");
      run.type("echo $((6 * 7)); nproc; uname -m\n");
      run.runUntilConsoleShows("42\r\n1\r\nx86_64\r\n");
      run.type("exit\n");
      assertEquals(new StopReason.PowerOff(), run.session.runToEnd());
    }
  }

  @Test
  void twoProcessorsBootToAShellAndAPanicIsTrouble() {
    try (Run run =
        new Run(MachineConfiguration.of(MEMORY, 2), interactiveGuest(), true).booting()) {
      run.runUntilConsoleShows("root@ringfence:~# ");
      run.type("nproc; for cpu in 0 1; do taskset $((cpu + 1)) sh -c 'echo on $0' $cpu; done\n");
      run.runUntilConsoleShows("2\r\non 0\r\non 1\r\n");
      run.type("echo c > /proc/sysrq-trigger\n");
      String report = assertThrows(GuestTroubleException.class, run.session::runToEnd).getMessage();
      assertTrue(report.startsWith("kernel panic"), report);
      assertTrue(report.contains("Kernel Offset: "), report);
      assertTrue(run.console().contains("Kernel panic - not syncing: sysrq"), run.console());
    }
  }

  @Test
  void aCommandsRunIsTheSameAgainAndFromASnapshotInTheMiddle() throws IOException {
    byte[] content =
        "disk content ".repeat(1000).substring(0, 8192).getBytes(StandardCharsets.UTF_8);
    Path disk = Files.write(folder.resolve("disk.img"), content);
    MachineConfiguration configuration =
        MachineConfiguration.of(MEMORY, 1).withDisks(List.of(new Disk(disk, false)));
    GuestRequest request =
        GuestRequest.ofCommand(
            """
            printf 'a\\r\\n\\0b\\377' | od -An -tx1
            echo complaint >&2
            dd if=/dev/vda bs=12 count=1 2>/dev/null; echo
            echo overwritten | dd of=/dev/vda conv=sync bs=512 2>/dev/null; sync
            head -c 11 /dev/vda; echo
            date +%Y-%m-%d
            head -c 8 /dev/urandom | od -An -tx1
            exit 7
            """);
    PreparedGuest guest = PREPARATION.prepare(request);
    Path file = folder.resolve("snapshot");
    String outcome;
    String console;
    try (Run run = new Run(configuration, guest, false).booting()) {
      while (!run.session.started()) {
        assertTrue(run.session.advance(1_000_000).isEmpty(), run::console);
      }
      run.session.saveSnapshot(file, Manifest.of("test", configuration, request, guest));
      assertEquals(new StopReason.PowerOff(), run.session.runToEnd());
      assertEquals(OptionalInt.of(7), run.session.commandStatus());
      outcome = run.outcome();
      console = run.console();
      String output = run.output.toString(StandardCharsets.UTF_8);
      assertTrue(
          output.startsWith(" 61 0d 0a 00 62 ff\ndisk content\noverwritten\n2026-01-01\n"), output);
      assertEquals("complaint\n", console);
    }
    assertEquals("disk content", Files.readString(disk).substring(0, 12), "copy on write");
    try (Run run = new Run(configuration, guest, false).booting()) {
      run.session.runToEnd();
      assertEquals(outcome, run.outcome(), "a second run");
      assertEquals(console, run.console());
    }
    try (Run run = new Run(configuration, guest, false)) {
      run.session.restore(Snapshot.open(file));
      run.session.runToEnd();
      assertEquals(outcome, run.outcome(), "a run from the snapshot");
      assertEquals(console, run.console());
    }
  }

  @Test
  @Tag("long")
  void theReferenceJobDoesItsWork() {
    Path root = Path.of(System.getProperty("ringfence.root"));
    // Checks the console itself.
    assertTrue(
        ReferenceJob.prepare(root, GuestCache.ofUser(), PREPARATION).runHere().instructions()
            > 1_000_000_000L);
  }
}
