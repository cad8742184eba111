package dev.ringfence.machine.operation.softfloat;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The host's processor as an oracle: runs src/test/native/float_host.c. */
public final class FloatHost implements AutoCloseable {
  private static final int REQUEST = 40;
  private static final int RESPONSE = 40;

  /** Operands of one instruction; a 128-bit operand is two words, low first. */
  public record Request(int operation, int control, long a0, long a1, long b0, long b1) {}

  /** What the processor made of it. */
  public record Response(
      long low, long high, long secondLow, long secondHigh, int status, int flags) {}

  private final Process process;
  private final Path program;

  private FloatHost(Process process, Path program) {
    this.process = process;
    this.program = program;
  }

  /** Whether this host can run the oracle. */
  public static boolean available() {
    return System.getProperty("os.arch").equals("amd64")
        && System.getProperty("os.name").equals("Linux")
        && Files.isExecutable(Path.of("/usr/bin/gcc"));
  }

  public static FloatHost start() throws IOException, InterruptedException {
    Path program = Files.createTempFile("float_host", "");
    Process compiler =
        new ProcessBuilder("gcc", "-O1", "-o", program.toString(), "src/test/native/float_host.c")
            .inheritIO()
            .start();
    if (compiler.waitFor() != 0) {
      throw new IOException("gcc could not compile float_host.c");
    }
    return new FloatHost(
        new ProcessBuilder(program.toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start(),
        program);
  }

  public List<Response> run(List<Request> requests) throws IOException, InterruptedException {
    ByteBuffer buffer =
        ByteBuffer.allocate(requests.size() * REQUEST).order(ByteOrder.LITTLE_ENDIAN);
    for (Request r : requests) {
      buffer.putInt(r.operation).putInt(r.control);
      buffer.putLong(r.a0).putLong(r.a1).putLong(r.b0).putLong(r.b1);
    }
    OutputStream out = new BufferedOutputStream(process.getOutputStream());
    Thread writer =
        Thread.ofPlatform()
            .start(() -> {
              try (out) {
                out.write(buffer.array());
              } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
              }
            });
    byte[] answer = new byte[requests.size() * RESPONSE];
    new DataInputStream(new BufferedInputStream(process.getInputStream())).readFully(answer);
    writer.join();
    ByteBuffer responses = ByteBuffer.wrap(answer).order(ByteOrder.LITTLE_ENDIAN);
    List<Response> result = new ArrayList<>();
    for (int n = 0; n < requests.size(); n++) {
      result.add(
          new Response(
              responses.getLong(),
              responses.getLong(),
              responses.getLong(),
              responses.getLong(),
              responses.getInt(),
              responses.getInt()));
    }
    return result;
  }

  @Override
  public void close() throws IOException {
    process.destroy();
    Files.delete(program);
  }
}
