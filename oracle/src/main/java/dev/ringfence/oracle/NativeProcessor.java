package dev.ringfence.oracle;

import dev.ringfence.machine.BadInputException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The host's real processor, reached through the native runner. Cases lie in a file that both
 * processes map; a request says which slots to run, so the two sides work at the same time.
 */
final class NativeProcessor implements CaseExecutor, AutoCloseable {
  /** Cases that fit: enough to make the cost of a request vanish, few enough for the host's L2. */
  static final int SLOTS = 512;

  private static final List<String> COMPILE =
      List.of(
          "gcc",
          "-std=gnu17",
          "-O2",
          "-Wall",
          "-Wextra",
          "-Werror",
          "-ffreestanding",
          "-fno-stack-protector",
          "-fcf-protection=none",
          "-mgeneral-regs-only",
          "-mno-red-zone",
          "-fno-pie",
          "-no-pie",
          "-nostdlib",
          "-static",
          "-Wl,-z,noexecstack",
          "-Wl,--build-id=none");

  private final Process process;
  private final Path file;
  private final Arena arena = Arena.ofShared();
  private final CaseRecord[] inputs = new CaseRecord[SLOTS];
  private final CaseRecord[] outputs = new CaseRecord[SLOTS];
  private final ByteBuffer request = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);

  private NativeProcessor(Path runner) throws IOException {
    file = Files.createTempFile("ringfence-oracle", ".cases");
    long bytes = 2L * SLOTS * CaseRecord.SIZE;
    MemorySegment shared;
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.allocate(1), bytes - 1);
      shared = channel.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
    }
    for (int i = 0; i < SLOTS; i++) {
      inputs[i] = slot(shared, i);
      outputs[i] = slot(shared, SLOTS + i);
    }
    process =
        new ProcessBuilder(runner.toString(), file.toString(), Integer.toString(SLOTS))
            .redirectError(ProcessBuilder.Redirect.PIPE)
            .start();
  }

  private static CaseRecord slot(MemorySegment shared, int number) {
    return new CaseRecord(shared.asSlice((long) number * CaseRecord.SIZE, CaseRecord.SIZE));
  }

  /** Builds the runner if its source is newer, and starts it. */
  static NativeProcessor start() {
    if (!System.getProperty("os.arch").equals("amd64")) {
      throw new BadInputException(
          "instructions are compared with the host's processor, which must be an x86-64; this one is "
              + System.getProperty("os.arch"));
    }
    try {
      return new NativeProcessor(build());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Why this host cannot run the native side, or the empty string. */
  static String missing() {
    if (!System.getProperty("os.arch").equals("amd64")) {
      return "the host's processor is not an x86-64";
    }
    try {
      return new ProcessBuilder("gcc", "--version")
                  .redirectErrorStream(true)
                  .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                  .start()
                  .waitFor()
              == 0
          ? ""
          : "gcc does not work";
    } catch (IOException e) {
      return "gcc is not installed";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "interrupted";
    }
  }

  private static Path build() throws IOException {
    Path root = Path.of(System.getProperty("ringfence.root"));
    Path source = root.resolve("guest/oracle/runner.c");
    Path runner = root.resolve("target/oracle/runner");
    if (Files.exists(runner)
        && Files.getLastModifiedTime(runner).compareTo(Files.getLastModifiedTime(source)) >= 0) {
      return runner;
    }
    Files.createDirectories(runner.getParent());
    Path next = Files.createTempFile(runner.getParent(), "runner", ".new");
    List<String> command = new ArrayList<>(COMPILE);
    command.addAll(List.of(source.toString(), "-o", next.toString()));
    Process gcc;
    try {
      gcc = new ProcessBuilder(command).redirectErrorStream(true).start();
    } catch (IOException e) {
      throw new BadInputException(
          "gcc is needed to build the native side of the instruction test and is not on the PATH;"
              + " install it (a package named gcc)");
    }
    String messages = new String(gcc.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      if (gcc.waitFor() != 0) {
        throw new BadInputException("gcc cannot build " + source + ":\n" + messages);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    }
    Files.setPosixFilePermissions(
        next, java.nio.file.attribute.PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.move(
        next,
        runner,
        java.nio.file.StandardCopyOption.REPLACE_EXISTING,
        java.nio.file.StandardCopyOption.ATOMIC_MOVE);
    return runner;
  }

  /** Where to put a case. */
  CaseRecord input(int slot) {
    return inputs[slot];
  }

  /** What became of it, after {@link #await}. */
  CaseRecord output(int slot) {
    return outputs[slot];
  }

  /** Starts the cases in slots 0 to {@code count - 1}. */
  void submit(int count) {
    for (int i = 0; i < count; i++) {
      outputs[i].setLong(0, -1);
    }
    try {
      request.clear().putInt(0).putInt(count);
      process.getOutputStream().write(request.array());
      process.getOutputStream().flush();
    } catch (IOException e) {
      throw died(e);
    }
  }

  /** Waits until the cases submitted have run. */
  void await() {
    try {
      byte[] answer = process.getInputStream().readNBytes(4);
      if (answer.length != 4) {
        throw died(null);
      }
    } catch (IOException e) {
      throw died(e);
    }
  }

  @Override
  public void execute(CaseRecord input, CaseRecord output) {
    inputs[0].copyFrom(input);
    submit(1);
    await();
    output.copyFrom(outputs[0]);
  }

  private IllegalStateException died(java.io.@org.jspecify.annotations.Nullable IOException cause) {
    StringBuilder message = new StringBuilder("the native runner ended with status ");
    try {
      message.append(process.waitFor());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    for (int i = 0; i < SLOTS; i++) {
      if (outputs[i].getLong(0) == -1) {
        message.append(" at ").append(CaseText.describe(inputs[i]));
        break;
      }
    }
    try (BufferedReader errors =
        new BufferedReader(
            new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
      errors.lines().forEach(line -> message.append("; ").append(line));
    } catch (IOException e) {
      message.append("; ").append(e.getMessage());
    }
    return new IllegalStateException(message.toString(), cause);
  }

  @Override
  public void close() {
    process.destroy();
    arena.close();
    Arrays.fill(inputs, null);
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
