package dev.ringfence.lab.result;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/** Writes files that are there whole or not at all: a name beside each is written first. */
public final class WholeFile {
  private WholeFile() {}

  /**
   * Writes a file, in place of one that is there. When it returns, the bytes are on the disk.
   *
   * @param what it is, for the message: {@code report}
   * @throws BadInputException if it cannot be written; what was there is still there
   */
  public static void write(Path file, byte[] content, String what) {
    Path absolute = file.toAbsolutePath();
    Path next = absolute.resolveSibling(absolute.getFileName() + ".next");
    try {
      try (FileChannel channel =
          FileChannel.open(
              next,
              StandardOpenOption.CREATE,
              StandardOpenOption.TRUNCATE_EXISTING,
              StandardOpenOption.WRITE)) {
        ByteBuffer bytes = ByteBuffer.wrap(content);
        while (bytes.hasRemaining()) {
          channel.write(bytes);
        }
        channel.force(true);
      }
      Files.move(
          next, absolute, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      try {
        Files.deleteIfExists(next);
      } catch (IOException again) {
        e.addSuppressed(again);
      }
      throw new BadInputException(
          "%s: %s cannot be written: %s".formatted(file, what, BadInputException.reason(e)), e);
    }
  }
}
