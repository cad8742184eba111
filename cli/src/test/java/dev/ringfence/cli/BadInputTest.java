package dev.ringfence.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What users get wrong: one clear line, status 2, and no file that was not there before. */
@Tag("slow")
final class BadInputTest {
  private static final Path KERNEL =
      new GuestPreparation(GuestCache.ofUser(), line -> {}).defaultKernelImage();

  @TempDir private Path folder;

  private Path write(String name, byte[] content) throws IOException {
    return Files.write(folder.resolve(name), content);
  }

  private void assertRefused(String expected, String... arguments) throws IOException {
    List<Path> before = files();
    StringWriter err = new StringWriter();
    int status =
        Ringfence.commandLine()
            .setOut(new PrintWriter(new StringWriter(), true))
            .setErr(new PrintWriter(err, true))
            .execute(arguments);
    assertEquals(ExitStatus.BAD_INPUT, status, err.toString());
    assertEquals(1, err.toString().lines().count(), err.toString());
    assertTrue(err.toString().contains(expected), err.toString());
    assertEquals(before, files(), "files left behind");
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> all = Files.list(folder)) {
      return all.sorted().toList();
    }
  }

  private String sparse(String name, long bytes) throws IOException {
    Path file = folder.resolve(name);
    try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
      out.setLength(bytes);
    }
    return file.toString();
  }

  @Test
  void kernelsThatAreMissingForeignOrCut() throws IOException {
    assertRefused("no such file", "boot", "--kernel", folder.resolve("none").toString());
    assertRefused("expected a file", "boot", "--kernel", folder.toString());
    assertRefused("an empty file", "boot", "--kernel", write("empty", new byte[0]).toString());
    byte[] kernel = Files.readAllBytes(KERNEL);
    String cut = write("cut", Arrays.copyOf(kernel, 1 << 20)).toString();
    assertRefused("(truncated?)", "boot", "--kernel", cut);
    String header = write("header", Arrays.copyOf(kernel, 0x220)).toString();
    assertRefused("(truncated?)", "boot", "--kernel", header);
    byte[] text = "#!/bin/sh\n".getBytes(StandardCharsets.UTF_8);
    assertRefused("expected a Linux bzImage", "boot", "--kernel", write("sh", text).toString());
    byte[] arm = new byte[4096];
    System.arraycopy(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}, 0, arm, 0, 7);
    arm[16] = 2;
    arm[18] = (byte) 183;
    assertRefused("another architecture", "boot", "--kernel", write("arm", arm).toString());
  }

  @Test
  void memoryThatIsTooSmall() throws IOException {
    String kernel = KERNEL.toString();
    String large = sparse("large.cpio", 600L << 20);
    assertRefused("no room for the initramfs", "boot", "--kernel", kernel, "--initrd", large);
    assertRefused("expected whole MiB from 64 MiB", "boot", "--memory", "1M");
    assertRefused("--memory: expected at least", "boot", "--memory", "64M");
    assertRefused("such as 512M", "boot", "--memory", "lots");
    assertRefused("processors: expected 1 to", "boot", "--cpus", "0");
  }

  @Test
  void disksAndPackagesThatAreMissingOrBroken() throws IOException {
    assertRefused("expected a raw image file", "boot", "--disk", folder.resolve("none").toString());
    String broken = write("broken.deb", new byte[100]).toString();
    assertRefused("broken.deb: expected a complete Debian package", "boot", "--package", broken);
    assertRefused("no such file", "boot", "--package", folder.resolve("none.deb").toString());
    assertRefused("apt knows no such package", "boot", "--package", "no-such-package-anywhere");
    assertRefused("expected a folder", "boot", "--overlay", folder.resolve("none").toString());
  }

  @Test
  void snapshotsAndManifestsThatAreNone() throws IOException {
    String text = write("text", "hello".getBytes(StandardCharsets.UTF_8)).toString();
    assertRefused("expected a Ringfence snapshot", "boot", "--from", text);
    assertRefused("expected a Ringfence snapshot", "snapshot", "info", text);
    assertRefused("no such file", "boot", "--from", folder.resolve("none").toString());
    assertRefused("expected a manifest", "boot", "--replay", text);
    assertRefused("expected no options about", "boot", "--from", text, "--memory", "1G");
  }

  @Test
  void theProcessorModelMustExist() throws IOException {
    assertRefused("no-such-model", "boot", "--cpu", "no-such-model", "--exec", "true");
    assertRefused("nearest: skylake-server", "run", "--cpu", "skylake");
    assertRefused("found neither", "run", "--cpu", folder.resolve("none.yaml").toString());
    byte[] binary = {(byte) 0xff, (byte) 0xfe, 0};
    String file = write("binary.yaml", binary).toString();
    assertRefused("binary.yaml: expected UTF-8", "run", "--cpu", file);
    Path models =
        Path.of(System.getProperty("ringfence.root"))
            .resolve("machine/src/main/resources/dev/ringfence/machine/cpu/models");
    String model = Files.readString(models.resolve("zen2.yaml"));
    for (String command : new String[] {"boot", "run"}) {
      assertRefused(
          "mine.yaml: line 9: expected a number from 0 to 15, found '16'",
          command,
          "--cpu",
          write("mine.yaml", model.replace("stepping: 0", "stepping: 16").getBytes(UTF_8))
              .toString());
      assertRefused(
          "expected one of FPU, DE, ",
          command,
          "--cpu",
          write("avx.yaml", model.replace("[FPU,", "[AVX512F, FPU,").getBytes(UTF_8)).toString());
    }
  }

  @Test
  void policiesAndWorkloadsThatAreNone() throws IOException {
    assertRefused("nearest: google-2025", "run", "--policy", "gogle-2025");
    assertRefused("nearest: mixed", "run", "mixd");
    byte[] policy =
        """
        name: mine
        title: Mine
        description: With a key that there is not.
        sources: [none]
        fil: eager
        """
            .getBytes(StandardCharsets.UTF_8);
    assertRefused(
        "line 5: expected a key of a policy",
        "run",
        "--policy",
        write("mine.yaml", policy).toString());
    assertRefused("found mixed", "run", "mixed", "--initrd", KERNEL.toString());
    String file = write("file", new byte[1]).toString();
    assertRefused("found a file of that name", "run", "--out", file);
    assertRefused("found Not a directory", "run", "--out", file + "/below");
    assertRefused("no such file", "explain", folder.resolve("none").toString(), "--policy", "kpti");
  }
}
