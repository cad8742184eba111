package dev.ringfence.lab.guest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.apache.commons.compress.archivers.cpio.CpioArchiveEntry;
import org.apache.commons.compress.archivers.cpio.CpioArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Packages and folders in, a cpio archive out. */
final class InitramfsTest {
  @TempDir private Path folder;
  private GuestCache cache;

  @BeforeEach
  void createCache() {
    cache = new GuestCache(folder.resolve("cache"));
  }

  private Path write(String name, byte[] content) throws IOException {
    return Files.write(folder.resolve(name), content);
  }

  private byte[] archive(Consumer<Initramfs> fill) throws IOException {
    Path file = folder.resolve("archive.cpio");
    try (Initramfs initramfs = new Initramfs(cache)) {
      fill.accept(initramfs);
      initramfs.writeTo(file);
    }
    return Files.readAllBytes(file);
  }

  /** Name to type, mode, links, size and content. */
  private Map<String, String> contents(Consumer<Initramfs> fill) throws IOException {
    Map<String, String> contents = new TreeMap<>();
    try (CpioArchiveInputStream cpio =
        new CpioArchiveInputStream(new ByteArrayInputStream(archive(fill)))) {
      CpioArchiveEntry entry;
      while ((entry = cpio.getNextEntry()) != null) {
        contents.put(
            entry.getName(),
            "%o %d %s"
                .formatted(
                    entry.getMode(),
                    entry.getNumberOfLinks(),
                    new String(cpio.readAllBytes(), StandardCharsets.UTF_8)));
        assertEquals(0, entry.getTime(), entry.getName());
      }
    }
    return contents;
  }

  @ParameterizedTest
  @ValueSource(strings = {"xz", "zst", "gz"})
  void filesOfAPackageKeepContentPermissionsAndKind(String compression) throws IOException {
    Path deb =
        write(
            "test.deb",
            new Debs()
                .folder("./usr")
                .folder("./usr/bin")
                .file("./usr/bin/tool", 04755, "#!/bin/sh\n")
                .link("./usr/bin/other", TarConstants.LF_SYMLINK, "tool")
                .link("./usr/bin/again", TarConstants.LF_LINK, "./usr/bin/tool")
                .device("./dev/ttyX", 4, 64)
                .build("amd64", compression));

    Map<String, String> contents = contents(tree -> tree.debPackage(deb, path -> true));

    assertEquals("104755 2 ", contents.get("usr/bin/tool").substring(0, 9));
    assertEquals("120777 1 tool", contents.get("usr/bin/other"));
    assertEquals("20600 1 ", contents.get("dev/ttyX"));
    assertEquals("40755 2 ", contents.get("dev"));
    // The last name of a file brings the content; names come in ascending order.
    assertEquals("104755 2 ", contents.get("usr/bin/again"));
    assertEquals("104755 2 #!/bin/sh\n", contents.get("usr/bin/tool"));
  }

  @Test
  void pathsFollowLinksToFolders() throws IOException {
    Path deb =
        write("a.deb", new Debs().folder("./bin").file("./bin/ls", 0755, "x").build("all", "gz"));

    Map<String, String> contents =
        contents(tree -> {
          tree.folder("usr/bin", 0755).symlink("bin", "usr/bin");
          tree.debPackage(deb, path -> true);
        });

    assertEquals("120777 1 usr/bin", contents.get("bin"));
    assertEquals("100755 1 x", contents.get("usr/bin/ls"));
  }

  @Test
  void laterFilesTakeThePlaceOfEarlierOnes() throws IOException {
    Path overlay = Files.createDirectories(folder.resolve("overlay/etc"));
    Files.writeString(overlay.resolve("motd"), "mine");
    Files.setPosixFilePermissions(
        overlay.resolve("motd"), PosixFilePermissions.fromString("rw-r-----"));
    Files.createSymbolicLink(overlay.resolve("link"), Path.of("motd"));

    Map<String, String> contents =
        contents(tree -> tree.file("etc/motd", 0644, "theirs").overlay(overlay.getParent()));

    assertEquals("100640 1 mine", contents.get("etc/motd"));
    assertEquals("120777 1 motd", contents.get("etc/link"));
  }

  @Test
  void equalContentsGiveEqualBytes() throws IOException {
    byte[] first = archive(tree -> tree.file("b", 0644, "1").file("a", 0644, "2"));
    byte[] second = archive(tree -> tree.file("a", 0644, "2").file("b", 0644, "1"));
    assertArrayEquals(first, second);
  }

  @Test
  void linksInACircleAreRefused() {
    BadInputException failure =
        assertThrows(
            BadInputException.class,
            () -> archive(tree -> tree.symlink("a", "b").symlink("b", "a").file("a/x", 0644, "")));
    assertTrue(failure.getMessage().contains("at most 40 symbolic links"), failure.getMessage());
  }

  @Test
  void aPathCannotLeaveTheTree() throws IOException {
    Map<String, String> contents = contents(tree -> tree.file("../../etc/x", 0644, "1"));
    assertEquals("100644 1 1", contents.get("etc/x"));
  }

  @Test
  void aPackageOfAnotherArchitectureIsRefused() throws IOException {
    Path deb = write("arm.deb", new Debs().folder("./usr").build("arm64", "gz"));
    assertEquals(
        deb + ": expected a package for amd64 or all, found one for arm64",
        assertThrows(BadInputException.class, () -> new DebPackage(deb).control()).getMessage());
  }

  @Test
  void anotherFileIsNoPackage() throws IOException {
    Path file = write("text.deb", "hello".getBytes(StandardCharsets.UTF_8));
    String message =
        assertThrows(BadInputException.class, () -> new DebPackage(file).control()).getMessage();
    assertTrue(message.startsWith(file + ": expected a complete Debian package"), message);
  }

  @ParameterizedTest
  @ValueSource(strings = {"xz", "zst", "gz"})
  void brokenPackagesAreRefusedOrRead(String compression) throws IOException {
    byte[] good =
        new Debs().file("./usr/bin/tool", 0755, "content ".repeat(500)).build("amd64", compression);
    SplittableRandom random = new SplittableRandom(3);
    for (int round = 0; round < 300; round++) {
      byte[] bad = good.clone();
      if (round % 3 == 0) {
        bad = Arrays.copyOf(bad, random.nextInt(bad.length));
      } else {
        bad[random.nextInt(bad.length)] ^= (byte) (1 << random.nextInt(8));
      }
      Path deb = write("bad.deb", bad);
      try {
        DebPackage damaged = new DebPackage(deb);
        damaged.control();
        archive(tree -> tree.debPackage(deb, path -> true));
      } catch (BadInputException expected) {
        assertTrue(expected.getMessage().length() > 10, expected.getMessage());
      }
    }
  }
}
