package dev.ringfence.lab.guest;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Contents of files between reading and writing, in one temporary file: packages give files in
 * their own order, archives want them sorted, and together they may be larger than the Java heap.
 */
final class Spool implements AutoCloseable {
  /** Where a content is. */
  record Range(long start, long length) {}

  private final Path file;
  private final OutputStream out;
  private long size;

  Spool(Path file) throws IOException {
    this.file = file;
    this.out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16);
  }

  Range add(InputStream content) throws IOException {
    long start = size;
    size += content.transferTo(out);
    return new Range(start, size - start);
  }

  Range add(byte[] content) throws IOException {
    out.write(content);
    size += content.length;
    return new Range(size - content.length, content.length);
  }

  /** Opens all contents for reading; nothing can be added afterwards. */
  FileChannel read() throws IOException {
    out.close();
    return FileChannel.open(file, StandardOpenOption.READ);
  }

  static void copy(FileChannel from, Range range, OutputStream to) throws IOException {
    ByteBuffer piece = ByteBuffer.allocate(1 << 16);
    long done = 0;
    while (done < range.length) {
      piece.clear().limit((int) Math.min(piece.capacity(), range.length - done));
      int count = from.read(piece, range.start + done);
      if (count < 0) {
        throw new IOException("the temporary file became shorter");
      }
      to.write(piece.array(), 0, count);
      done += count;
    }
  }

  @Override
  public void close() throws IOException {
    out.close();
    Files.deleteIfExists(file);
  }
}
