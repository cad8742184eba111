package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.machine.ConsolePort;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * System instructions that a user program cannot run, with random descriptors, stacks and privilege
 * levels: the bare guest of guest/system on the machine and on QEMU, line by line.
 */
@Tag("slow")
final class SystemGuestTest {
  private static final int CASES = 4000;
  private static final long MARKER = 0x5eed5eed5eed5eedL;

  /** Far above what the cases need: a guest that runs away fails rather than hangs. */
  private static final long MAXIMUM_INSTRUCTIONS = 1_000_000_000;

  @TempDir private Path folder;

  private static boolean installed(String tool) {
    return Arrays.stream(System.getenv("PATH").split(":"))
        .anyMatch(path -> Files.isExecutable(Path.of(path, tool)));
  }

  private String run(String... command) throws IOException, InterruptedException {
    Path output = folder.resolve("output");
    Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectErrorStream(false)
            .redirectError(folder.resolve("errors").toFile())
            .redirectOutput(output.toFile())
            .start();
    boolean ended = process.waitFor(120, TimeUnit.SECONDS);
    process.destroyForcibly();
    assertTrue(ended, command[0] + " does not end");
    return Files.readString(output, StandardCharsets.US_ASCII);
  }

  /** Builds the guest, a 32-bit ELF file as Multiboot wants it, with 64-bit code. */
  private Path build(long seed) throws IOException, InterruptedException {
    Path sources = Path.of(System.getProperty("ringfence.root"), "guest", "system");
    List<String> command =
        new ArrayList<>(
            List.of(
                "gcc -m64 -O2 -std=c11 -ffreestanding -fno-pic -no-pie -static -nostdlib"
                    .split(" ")));
    command.addAll(
        List.of(
            "-fno-stack-protector",
            "-fcf-protection=none",
            "-fno-tree-loop-distribute-patterns",
            "-mno-red-zone",
            "-mgeneral-regs-only",
            "-Wl,--build-id=none",
            "-Wl,-T," + sources.resolve("guest.ld"),
            sources.resolve("start.S").toString(),
            sources.resolve("segments.c").toString(),
            "-o",
            "segments64"));
    run(command.toArray(String[]::new));
    run("objcopy", "-O", "elf32-i386", "segments64", "segments");
    Path image = folder.resolve("segments");
    assertTrue(Files.exists(image), () -> "gcc: " + readIfThere(folder.resolve("errors")));
    byte[] bytes = Files.readAllBytes(image);
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int at = 0;
    while (buffer.getLong(at) != MARKER) {
      at++;
    }
    buffer.putLong(at + 8, seed);
    buffer.putLong(at + 16, CASES);
    Files.write(image, bytes);
    return image;
  }

  private static String readIfThere(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }

  private static List<String> onMachine(Path image) {
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    try (Machine machine =
        new Machine(MachineConfiguration.of(64 << 20, 1).withTestDevices(0xf4))) {
      machine.connect(ConsolePort.COM1, output::write);
      machine.load(BootImage.of(BootFile.of(image)), "", List.of());
      machine.run(RunLimits.untilInstruction(MAXIMUM_INSTRUCTIONS));
    }
    return output.toString(StandardCharsets.US_ASCII).lines().toList();
  }

  private List<String> onQemu(Path image) throws IOException, InterruptedException {
    String text =
        run(
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "Skylake-Server",
            "-m",
            "64",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
            "-kernel",
            image.toString());
    return text.lines().toList();
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void segmentsAndTransfersBehaveAsOnQemu(long seed) throws IOException, InterruptedException {
    for (String tool : List.of("gcc", "objcopy", "qemu-system-x86_64")) {
      assumeTrue(installed(tool), tool + " is not installed");
    }
    Path image = build(seed);
    List<String> ours = onMachine(image);
    List<String> theirs = onQemu(image);
    assertEquals(CASES + 1, theirs.size(), "lines of QEMU");
    for (int i = 0; i < theirs.size(); i++) {
      String line = i < ours.size() ? ours.get(i) : "nothing";
      assertEquals(theirs.get(i), line, "seed " + seed);
    }
  }
}
