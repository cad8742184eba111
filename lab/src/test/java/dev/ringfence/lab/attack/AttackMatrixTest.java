package dev.ringfence.lab.attack;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.MachineConfiguration;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The lab with programs whose outcome is known beforehand, because they need no leak. */
@Tag("slow")
final class AttackMatrixTest {
  /** Reads a file that the set-up has left open to all, or does what else may happen. */
  private static final String PROGRAM =
      """
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/mman.h>
      #include <unistd.h>

      static int is(const char *target, const char *name) { return !strcmp(target, name); }

      static long large_pages(void)
      {
        enum { LARGE_PAGE = 2 << 20 };
        char *memory = mmap(NULL, 2 * LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        FILE *maps = fopen("/proc/self/smaps_rollup", "r");
        char line[256];
        long kilobytes = -1;

        madvise(memory, 2 * LARGE_PAGE, MADV_HUGEPAGE);
        memory[-(unsigned long)memory % LARGE_PAGE] = 1;
        while (maps && fgets(line, sizeof(line), maps))
          sscanf(line, "AnonHugePages: %ld", &kilobytes);
        return kilobytes * 1024 / LARGE_PAGE;
      }

      int main(int argc, char **argv)
      {
        const char *target = argc > 2 ? argv[2] : "";
        int bytes = argc > 4 ? atoi(argv[4]) : 0;
        if (is(target, "readable") || is(target, "unreadable")) {
          FILE *file = fopen(argv[5], "r");
          printf("user %d, file %s\\n", getuid(), argv[5]);
          printf("large pages: %s\\n", large_pages() > 0 ? "yes" : "no");
          for (int i = 0; i < bytes; i++)
            if (file)
              printf("byte %d %02x 100\\n", i, fgetc(file));
            else
              printf("byte %d ?? 0\\n", i);
          printf("done\\n");
        } else if (is(target, "guess")) {
          for (int i = 0; i < bytes; i++)
            printf("byte %d %02x 50\\n", i, (i * 37 + 11) & 0xff);
          printf("done\\n");
        } else if (is(target, "endless")) {
          for (;;)
            ;
        } else if (is(target, "unsupported")) {
          printf("unsupported there is no such processor\\n");
          return 77;
        } else {
          abort();
        }
        return 0;
      }
      """;

  private static final String CATALOG =
      """
      programs: [unprivileged.c]
      targets:
        - name: readable
          title: A file that everybody may read
          setup: |
            cp "$SECRET" /tmp/open && chmod 644 /tmp/open && echo /tmp/open
        - name: unreadable
          title: The secret itself
          setup: echo "$SECRET"
        - name: guess
          title: Nothing
          setup: "true"
        - name: endless
          title: Nothing
          setup: "true"
        - name: unsupported
          title: Nothing
          setup: "true"
        - name: crash
          title: Nothing
          setup: "true"
        - name: broken
          title: A set-up that fails
          setup: "false"
      attacks:
        - name: program
          title: A program
          description: For tests.
          vulnerability: None.
          program: program.c
          large-pages: true
          targets: [readable, unreadable, guess, endless, unsupported, crash, broken]
          bytes: 16
          budget-milliseconds: 5
          sources: [none]
      """;

  private static final long SEED = 20;
  private static final List<Mitigation> COLUMNS =
      MitigationCatalog.shipped().choose(List.of("none", "google-2025"));

  @TempDir private static Path folder;
  private static AttackCatalog catalog;

  @BeforeAll
  static void writePrograms() throws IOException {
    Files.writeString(folder.resolve("program.c"), PROGRAM);
    Files.copy(
        Path.of(System.getProperty("ringfence.root"), "guest", "attacks", "unprivileged.c"),
        folder.resolve("unprivileged.c"));
    catalog = AttackCatalog.parse(CATALOG, "test");
  }

  private static AttackMatrix matrix(AttackMatrix.Progress progress) {
    GuestCache cache = GuestCache.ofUser();
    return new AttackMatrix(
        new AttackPreparation(
                cache,
                new GuestPreparation(cache, line -> {}),
                line -> {},
                folder,
                program -> List.of())
            .prepare(catalog, Attack.From.USER, null, ""),
        MachineConfiguration.of(128L << 20, 1),
        new BootSnapshots(new GuestCache(folder.resolve("cache")), false, "test", line -> {}),
        SEED,
        progress);
  }

  private static Cell cell(LeakMatrix matrix, String target, String column) {
    return matrix.cells().stream()
        .filter(cell -> cell.target().equals(target) && cell.column().equals(column))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void programsAreJudgedByWhatTheyTellAndNotByHowTheyEnd() {
    List<Integer> done = new ArrayList<>();
    LeakMatrix matrix =
        matrix((cell, count, all) -> done.add(count)).execute(catalog.attacks(), COLUMNS);
    assertEquals(14, matrix.cells().size());
    assertEquals(14, done.size());
    assertEquals(LeakMatrix.COMPLETE, matrix.state());
    for (String column : List.of("none", "google-2025")) {
      Cell readable = cell(matrix, "readable", column);
      assertEquals(Cell.LEAKED, readable.outcome(), readable.toString());
      assertEquals(readable.evidence().secret(), readable.evidence().recovered());
      assertEquals(16, readable.evidence().right());
      // It runs as nobody, and says so in lines that are no part of the protocol.
      assertEquals(
          List.of("user 65534, file /tmp/open", "large pages: yes"), readable.evidence().notes());
      Cell unreadable = cell(matrix, "unreadable", column);
      assertEquals(Cell.NOT_LEAKED, unreadable.outcome(), unreadable.toString());
      assertEquals("??".repeat(16), unreadable.evidence().recovered());
      Cell guess = cell(matrix, "guess", column);
      assertEquals(Cell.NOT_LEAKED, guess.outcome(), guess.toString());
      assertTrue(guess.evidence().chance() > 1e-3, guess.toString());
      Cell endless = cell(matrix, "endless", column);
      assertEquals(Cell.NOT_LEAKED, endless.outcome(), endless.toString());
      assertTrue(endless.evidence().end().startsWith("gave up"), endless.toString());
      assertTrue(endless.evidence().nanoseconds() >= 5_000_000, endless.toString());
      Cell unsupported = cell(matrix, "unsupported", column);
      assertEquals(Cell.NOT_APPLICABLE, unsupported.outcome(), unsupported.toString());
      assertEquals("there is no such processor", unsupported.reason());
      assertEquals(Cell.FAILED, cell(matrix, "crash", column).outcome());
      Cell broken = cell(matrix, "broken", column);
      assertEquals(Cell.FAILED, broken.outcome());
      assertTrue(broken.reason().startsWith("set-up of broken"), broken.toString());
    }
    // Columns share the secret, targets do not.
    assertEquals(
        cell(matrix, "readable", "none").evidence().secret(),
        cell(matrix, "readable", "google-2025").evidence().secret());
    assertNotEquals(
        cell(matrix, "readable", "none").evidence().secret(),
        cell(matrix, "guess", "none").evidence().secret());
  }

  @Test
  void anInterruptedMatrixHasTheCellsThatWereDone() {
    List<Cell> done = new ArrayList<>();
    AttackMatrix[] matrix = new AttackMatrix[1];
    matrix[0] =
        matrix((cell, count, all) -> {
          done.add(cell);
          if (count == 3) {
            matrix[0].interrupt();
          }
        });
    LeakMatrix leaks = matrix[0].execute(catalog.attacks(), COLUMNS);
    assertEquals(LeakMatrix.PARTIAL, leaks.state());
    assertEquals("interrupted", leaks.reason());
    assertEquals(3, done.size());
    assertEquals(Set.copyOf(done), Set.copyOf(leaks.cells()));
  }
}
