package dev.ringfence.lab.workload;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.Initramfs;
import dev.ringfence.lab.guest.Overlay;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class WorkloadPreparationTest {
  private static final String LEAST =
      """
      name: small
      title: A title
      description: What it is for
      command: "true"
      """;

  @TempDir private Path folder;

  private void assertRefused(GuestCache cache, String text, String message) {
    WorkloadPreparation preparation =
        new WorkloadPreparation(cache, new GuestPreparation(cache, line -> {}), line -> {});
    Workload workload = Workload.parse(text, "test.yaml", folder);
    BadInputException refused =
        assertThrows(BadInputException.class, () -> preparation.prepare(workload, null, "", false));
    assertTrue(refused.getMessage().startsWith("test.yaml: " + message), refused.getMessage());
  }

  @Test
  void whatIsMissingOnTheHostIsNamedWithItsLine() {
    GuestCache cache = new GuestCache(folder.resolve("cache"));
    assertRefused(cache, LEAST + "programs:\n  - syscals.c", "line 6: expected a file in ");
    assertRefused(
        cache,
        LEAST + "files:\n  - source: data\n    path: /root/data",
        "line 7: expected a file in ");
    assertRefused(cache, LEAST + "packages: [a, b.deb]", "line 5: expected a file in ");
  }

  @Test
  void filesInEachOthersWayAreRefused() {
    GuestCache cache = new GuestCache(folder.resolve("cache"));
    assertRefused(
        cache,
        LEAST + "files:\n  - path: /root/a\n    content: x\n  - path: /root/a/b\n    content: y",
        "line 8: expected a file that no other one is in the way of, found /root/a/b beside /root/a");
    assertRefused(
        cache,
        LEAST + "files:\n  - path: /usr/local/bin/ringfence-mark\n    content: x",
        "line 6: expected a file that no other one is in the way of, found ");
  }

  @Test
  void aFileBesideTheWorkloadGoesBeforeAShippedOne() throws IOException {
    GuestCache cache = new GuestCache(folder.resolve("cache"));
    Files.writeString(folder.resolve("syscalls.c"), "int main(void) { return 0 }\n");
    WorkloadPreparation preparation =
        new WorkloadPreparation(cache, new GuestPreparation(cache, line -> {}), line -> {});
    Workload workload = Workload.parse(LEAST + "programs: [syscalls.c]", "test.yaml", folder);
    BadInputException refused =
        assertThrows(BadInputException.class, () -> preparation.prepare(workload, null, "", false));
    assertTrue(refused.getMessage().contains("syscalls.c:1:"), refused.getMessage());
  }

  @Test
  void equalFilesGiveEqualArchivesFromAnyCache() throws IOException {
    Map<String, Overlay.Entry> entries = new TreeMap<>();
    entries.put("/etc/secret", new Overlay.Entry(0600, "content".getBytes(StandardCharsets.UTF_8)));
    entries.put("/usr/local/bin/run", new Overlay.Entry(0755, new byte[] {1, 2, 3}));
    byte[] first = archive("one", entries);
    assertArrayEquals(first, archive("two", entries));
    assertArrayEquals(first, archive("two", entries));
    String text = new String(first, StandardCharsets.ISO_8859_1);
    // The modes of a regular file, in the archive's hexadecimal digits.
    assertTrue(text.contains("00008180"), "0600");
    assertTrue(text.contains("000081ed"), "0755");
  }

  private byte[] archive(String cacheName, Map<String, Overlay.Entry> entries) throws IOException {
    GuestCache cache = new GuestCache(folder.resolve(cacheName));
    Path overlay = Overlay.folder(cache, entries);
    assertEquals(overlay, Overlay.folder(cache, entries));
    try (Initramfs initramfs = new Initramfs(cache)) {
      Path file = folder.resolve(cacheName + ".cpio");
      initramfs.overlay(overlay).writeTo(file);
      return Files.readAllBytes(file);
    }
  }

  @Test
  @Tag("slow")
  void aGuestWithinTheGuestLiesInTheOneOutsideWhichHasMemoryForBoth() {
    GuestCache cache = GuestCache.ofUser();
    WorkloadPreparation preparation =
        new WorkloadPreparation(cache, new GuestPreparation(cache, line -> {}), line -> {});
    PreparedWorkload alone =
        preparation.prepare(Workload.parse(LEAST, "test.yaml", folder), null, "", false);
    PreparedWorkload both =
        preparation.prepare(
            Workload.parse(LEAST + "inner-guest: {command: uname}", "test.yaml", folder),
            null,
            "",
            false);
    long image = alone.guest().image().file().size();
    assertTrue(both.guest().unpackedBytes() > alone.guest().unpackedBytes() + image);
    assertTrue(both.configuration().memoryBytes() > both.guest().memoryNeeded());
    Path overlay = both.request().overlays().getFirst();
    for (String name : List.of("vmlinuz", "initrd", "command-line", "assignment", "mebibytes")) {
      assertTrue(Files.exists(overlay.resolve("root/inner").resolve(name)), name);
    }
    assertTrue(Files.isExecutable(overlay.resolve("usr/local/bin/inner-guest")));
  }

  @Test
  @Tag("slow")
  void aPackageThatAptDoesNotKnowIsNamedWithItsLineAndItsNearestNames() {
    assertRefused(
        GuestCache.ofUser(),
        LEAST + "packages:\n  - libc6\n  - redis-sever\n",
        "line 7: expected a Debian package that apt knows, found 'redis-sever'; nearest: redis-server");
  }
}
