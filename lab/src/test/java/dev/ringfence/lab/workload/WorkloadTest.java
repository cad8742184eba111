package dev.ringfence.lab.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class WorkloadTest {
  private static final String LEAST =
      """
      name: small
      title: A title
      description: What it is for
      command: "true"
      """;

  @TempDir private Path folder;

  private static Workload parse(String text) {
    return Workload.parse(text, "test.yaml", null);
  }

  private static void assertRefused(String text, String message) {
    BadInputException refused = assertThrows(BadInputException.class, () -> parse(text));
    assertEquals("test.yaml: " + message, refused.getMessage());
  }

  @Test
  void everythingThatAFileMayHaveIsRead() {
    Workload workload =
        parse(
            """
            name: all-keys
            title: Everything at once
            description: |
              First line.
              Second line.
            packages: [redis-server, own.deb]
            programs:
              - syscalls.c
            files:
              - path: /etc/a.conf
                mode: 0600
                content: |
                  # a comment of the file
                    indented
              - path: /root/b
                source: data/b
            phases: [one, two]
            command: |
              set -e
              ringfence-mark begin
            append: nosmt
            memory: 1G
            cpus: 2
            disk: 64M
            maximum-instructions: 3_000_000_000
            """);
    assertEquals("all-keys", workload.name());
    assertEquals("Everything at once", workload.title());
    assertEquals("First line.\nSecond line.", workload.description());
    assertEquals(new Workload.Reference("redis-server", 6), workload.packages().getFirst());
    assertEquals(new Workload.Reference("syscalls.c", 8), workload.programs().getFirst());
    assertEquals(
        new Workload.GuestFile(
            "/etc/a.conf", 0600, "# a comment of the file\n  indented\n", null, 10),
        workload.files().getFirst());
    assertEquals("data/b", workload.files().getLast().source());
    assertEquals(0644, workload.files().getLast().mode());
    assertEquals("set -e\nringfence-mark begin", workload.command());
    assertEquals("nosmt", workload.append());
    assertEquals(1L << 30, workload.memoryBytes());
    assertEquals(2, workload.processors());
    assertEquals(64L << 20, workload.diskBytes());
    assertEquals(3_000_000_000L, workload.maximumInstructions());
  }

  @Test
  void fourKeysAreEnough() {
    Workload workload = parse(LEAST);
    assertEquals(1, workload.processors());
    assertEquals(0, workload.memoryBytes());
    assertEquals(Workload.DEFAULT_MAXIMUM_INSTRUCTIONS, workload.maximumInstructions());
    assertTrue(workload.phases().isEmpty());
  }

  @Test
  void aGuestWithinTheGuestIsReadAsAGuestIs() {
    Workload.InnerGuest inner =
        parse(
                LEAST
                    + """
                    inner-guest:
                      packages: [fio]
                      programs: [syscalls.c]
                      append: nopti
                      command: fio --version
                    """)
            .innerGuest();
    assertNotNull(inner);
    assertEquals("fio", inner.packages().getFirst().name());
    assertEquals("syscalls.c", inner.programs().getFirst().name());
    assertEquals("nopti", inner.append());
    assertEquals("fio --version", inner.command());
    assertNull(parse(LEAST).innerGuest());
    assertRefused(
        LEAST + "inner-guest: {packages: [fio]}",
        "line 5: expected a guest within the guest with a value for command, found none");
    assertRefused(
        LEAST + "inner-guest:\n  command: x\n  memory: 1G",
        "line 7: expected a key of a guest within the guest (packages, programs, files, command, append), found memory");
  }

  @Test
  void whatIsNotAsItShouldBeIsNamedWithItsLine() {
    assertRefused("", "line 1: expected a workload, found an empty file");
    assertRefused("- a", "line 1: expected a workload, a mapping of keys to values, found a list");
    assertRefused(
        LEAST + "comand: x",
        "line 5: expected a key of a workload (name, title, description, packages, modules, programs, files, inner-guest, command, phases, append, memory, cpus, disk, maximum-instructions), found comand; nearest: command");
    assertRefused(
        "name: small\ntitle: T\ncommand: x",
        "line 1: expected a workload with a value for description, found none");
    assertRefused(
        LEAST + "memory: 12",
        "line 5: expected a size in MiB or GiB from 64M to 512G, such as 512M, found '12'");
    assertRefused(LEAST + "cpus: 65", "line 5: expected a whole number from 1 to 64, found '65'");
    assertRefused(
        LEAST + "maximum-instructions: 99999999999999999999",
        "line 5: expected a whole number from 1 to 9223372036854775807, found '99999999999999999999'");
    assertRefused(
        LEAST + "phases:\n  - One",
        "line 6: expected a name of small letters, digits and hyphens, found 'One'");
    assertRefused(
        LEAST + "phases: [one, one]", "line 5: expected each name once, found 'one' again");
    assertRefused(
        LEAST + "programs: [a.cc]",
        "line 5: expected the name of a C source, such as syscalls.c, found 'a.cc'");
    assertRefused(LEAST + "name: again", "line 5: expected each key once, found name again");
    assertRefused(LEAST + "append: \"a\\nb\"", "line 5: expected a text of one line, found 'a?b'");
  }

  @Test
  void filesMustLieWhereTheGuestWillSeeThem() {
    String start = LEAST + "files:\n  - path: ";
    assertRefused(
        start + "/tmp/x\n    content: x",
        "line 6: expected a path outside /dev, /proc, /run, /sys, /tmp, where file systems are mounted, found '/tmp/x'");
    assertRefused(
        start + "/root/../etc/x\n    content: x",
        "line 6: expected a path without . and .., found '/root/../etc/x'");
    assertRefused(
        start + "etc/x\n    content: x",
        "line 6: expected an absolute path of a file in the guest, in letters, digits and _.,:@%+=-, found 'etc/x'");
    assertRefused(start + "/etc/x", "line 6: expected either content or source, found neither");
    assertRefused(
        start + "/etc/x\n    content: x\n    source: y",
        "line 6: expected either content or source, found both");
    assertRefused(
        start + "/etc/x\n    content: x\n    mode: rwx",
        "line 8: expected permissions of three octal digits, such as 0755, found 'rwx'");
  }

  @Test
  void allShippedWorkloadsAreReadUnderTheirNames() {
    assertEquals("mixed", Workload.builtIn().getFirst());
    for (String name : Workload.builtIn()) {
      Workload workload = Workload.load(name);
      assertEquals(name, workload.name());
      assertTrue(workload.command().startsWith("set -eu") || name.equals("syscalls"), name);
      for (String phase : workload.phases()) {
        assertFalse(phase.isBlank());
      }
    }
  }

  @Test
  void aFileOfTheUsersIsReadAndANameThatIsNeitherIsExplained() throws IOException {
    Path file = Files.writeString(folder.resolve("own.yaml"), LEAST);
    Workload own = Workload.load(file.toString());
    assertEquals("small", own.name());
    assertEquals(folder, own.folder());
    BadInputException refused =
        assertThrows(BadInputException.class, () -> Workload.load("syscals"));
    assertTrue(
        refused
            .getMessage()
            .startsWith("workload syscals: expected a YAML file or one of mixed, syscalls, "),
        refused.getMessage());
    assertTrue(refused.getMessage().contains("nearest: syscalls"), refused.getMessage());
    assertThrows(BadInputException.class, () -> Workload.load("\0"));
    Files.write(file, new byte[] {(byte) 0xff, (byte) 0xfe});
    assertThrows(BadInputException.class, () -> Workload.load(file.toString()));
  }

  @Test
  void brokenFilesAreRefusedAndNothingElseHappens() {
    String text = "";
    try (var in = Workload.class.getResourceAsStream("redis.yaml")) {
      text = new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
    Random random = new Random(7);
    String signs = " \n\t:-[]{}&*!|>'\"%@`#?,~\0\u0085\ufeffaz0";
    for (int i = 0; i < 2000; i++) {
      StringBuilder broken = new StringBuilder(text);
      for (int n = random.nextInt(1, 5); n > 0; n--) {
        int at = random.nextInt(broken.length());
        switch (random.nextInt(3)) {
          case 0 -> broken.setCharAt(at, signs.charAt(random.nextInt(signs.length())));
          case 1 -> broken.insert(at, signs.charAt(random.nextInt(signs.length())));
          default -> broken.delete(at, Math.min(broken.length() - 1, at + random.nextInt(40)));
        }
      }
      try {
        parse(broken.toString());
      } catch (BadInputException e) {
        assertTrue(
            e.getMessage().matches("test.yaml: line [0-9]+: [^\\p{Cntrl}]+"), e.getMessage());
      }
    }
  }
}
