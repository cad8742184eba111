package dev.ringfence.lab.run;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.linux.provenance.AllocationHistory;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With a guest that is up at once, so that dozens of starts take no time. */
final class BootSnapshotsTest {
  private static final MachineConfiguration MACHINE = TinyGuest.configuration();

  @TempDir private Path folder;
  private final List<String> lines = new ArrayList<>();

  /** How a run went, and all that came out of it. */
  private record Run(boolean fromSnapshot, String outcome) {}

  private Run run(String command, String commandLine, boolean fresh)
      throws NoSuchAlgorithmException {
    PreparedGuest guest = TinyGuest.prepared(command, commandLine);
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    BootSnapshots snapshots = new BootSnapshots(new GuestCache(folder), fresh, "test", lines::add);
    BootSnapshots.Start start =
        snapshots.start(
            guest,
            MACHINE,
            machine ->
                new GuestSession(
                    machine,
                    guest.assignment(),
                    1_000_000,
                    OutputStream.nullOutputStream(),
                    output,
                    true),
            List.of());
    GuestSession session = start.session();
    try (Machine machine = session.machine()) {
      session.onUp(
          () -> snapshots.keep(start, TinyGuest.request(command), guest, MACHINE, List.of()));
      String end = session.runToEnd().toString();
      MessageDigest memory = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(memory);
      return new Run(
          start.isFromSnapshot(),
          "%s output '%s' memory %s"
              .formatted(
                  session.result(end, 0),
                  output.toString(UTF_8),
                  HexFormat.of().formatHex(memory.digest())));
    }
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(folder.resolve("snapshots"))) {
      return files.sorted().toList();
    }
  }

  @Test
  void aRunFromASnapshotIsTheFreshOneWhateverItsCommand() throws Exception {
    for (String command : List.of("first", "another one", "a third, with \u00e9")) {
      Run fresh = run(command, "", true);
      Run cached = run(command, "", false);
      assertFalse(fresh.fromSnapshot);
      assertTrue(cached.fromSnapshot);
      assertTrue(fresh.outcome.contains("output '" + command + "\n'"), fresh.outcome);
      assertEquals(fresh.outcome, cached.outcome);
    }
    assertEquals(1, files().size());
  }

  @Test
  void aSnapshotThatWasTakenByARunWithAnotherCommandServes() throws Exception {
    run("x".repeat(1000), "", false);
    Run cached = run("short", "", false);
    assertTrue(cached.fromSnapshot);
    assertEquals(run("short", "", true).outcome, cached.outcome);
  }

  @Test
  void anyDamageIsToldInOneLineAndTheGuestBoots() throws Exception {
    String outcome = run("a", "", false).outcome;
    Path file = files().getFirst();
    byte[] good = Files.readAllBytes(file);
    byte[] flipped = good.clone();
    flipped[good.length / 2] ^= 4;
    for (byte[] bad :
        List.of(
            flipped, Arrays.copyOf(good, good.length / 2), new byte[0], "other".getBytes(UTF_8))) {
      Files.write(file, bad);
      lines.clear();
      Run run = run("a", "", false);
      assertFalse(run.fromSnapshot);
      assertEquals(outcome, run.outcome);
      assertEquals(1, lines.size(), lines::toString);
      assertTrue(lines.getFirst().startsWith(file + ": "), lines.getFirst());
      assertTrue(lines.getFirst().endsWith("; booting anew"), lines.getFirst());
      assertTrue(run("a", "", false).fromSnapshot, "it was kept again");
    }
  }

  @Test
  void onlyTheNewestAreKept() throws Exception {
    for (int i = 0; i < BootSnapshots.MOST + 3; i++) {
      run("a", "guest " + i, false);
    }
    assertEquals(BootSnapshots.MOST, files().size());
    assertTrue(run("a", "guest " + (BootSnapshots.MOST + 2), false).fromSnapshot);
    assertFalse(run("a", "guest 0", false).fromSnapshot);
  }

  @Test
  void aFolderThatCannotBeWrittenCostsALine() throws Exception {
    String outcome = run("a", "", false).outcome;
    // Nothing can be written below a file, whoever runs the test.
    Path file = files().getFirst();
    Files.delete(file);
    Files.createDirectories(file.resolve("in the way"));
    lines.clear();
    assertEquals(outcome, run("a", "", false).outcome);
    assertEquals(1, lines.size(), lines::toString);
    assertTrue(lines.getFirst().contains("is not kept for the next run"), lines.getFirst());
  }

  private static String key(PreparedGuest guest, MachineConfiguration machine) {
    return BootSnapshots.key(guest, machine, List.of()).orElseThrow();
  }

  private static PreparedGuest guest(
      byte[] image, List<byte[]> initrds, String commandLine, String command) {
    return new PreparedGuest(
        BootImage.of(BootFile.of("image", image)),
        initrds.stream().map(bytes -> BootFile.of("initrd", bytes)).toList(),
        commandLine,
        new Assignment(command, null),
        0);
  }

  @Test
  void theKeyDependsOnAllThatTheBootDependsOnAndOnNothingElse() throws IOException {
    byte[] image = TinyGuest.prepared("", "").image().file().bytes();
    byte[] longer = Arrays.copyOf(image, image.length + 1);
    byte[] one = {1};
    byte[] two = {2};
    Path file = Files.write(folder.resolve("disk"), new byte[1024]);
    MachineConfiguration disk = MACHINE.withDisks(List.of(new Disk(file, false)));
    Set<String> keys = new HashSet<>();
    List<String> all =
        new ArrayList<>(
            List.of(
                key(guest(image, List.of(), "a", "x"), MACHINE),
                key(guest(longer, List.of(), "a", "x"), MACHINE),
                key(guest(image, List.of(one), "a", "x"), MACHINE),
                key(guest(image, List.of(two), "a", "x"), MACHINE),
                key(guest(image, List.of(one, two), "a", "x"), MACHINE),
                key(guest(image, List.of(), "b", "x"), MACHINE),
                key(guest(image, List.of(), "a", "x"), MACHINE.withMemory(128L << 20)),
                key(guest(image, List.of(), "a", "x"), MACHINE.withSeed(2)),
                key(guest(image, List.of(), "a", "x"), MACHINE.withCpuModel("zen2")),
                key(guest(image, List.of(), "a", "x"), disk),
                BootSnapshots.key(
                        guest(image, List.of(), "a", "x"),
                        MACHINE,
                        List.of(new AllocationHistory()))
                    .orElseThrow()));
    Files.write(file, new byte[2048]);
    all.add(key(guest(image, List.of(), "a", "x"), disk));
    keys.addAll(all);
    assertEquals(all.size(), keys.size());
    assertEquals(all.getFirst(), key(guest(image, List.of(), "a", "another command"), MACHINE));
    assertNotEquals(all.getFirst(), all.getLast());
  }

  @Test
  void aGuestThatWritesToADiskOrDoesNotTellWhenItIsUpIsNotKept() throws IOException {
    Path file = Files.write(folder.resolve("disk"), new byte[1024]);
    PreparedGuest tiny = TinyGuest.prepared("", "");
    assertTrue(
        BootSnapshots.key(tiny, MACHINE.withDisks(List.of(new Disk(file, true))), List.of())
            .isEmpty());
    PreparedGuest silent = new PreparedGuest(tiny.image(), List.of(), tiny.commandLine(), null, 0);
    assertTrue(BootSnapshots.key(silent, MACHINE, List.of()).isEmpty());
  }
}
