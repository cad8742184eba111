package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/**
 * A file on its way into guest memory. It is mapped, not read: an initramfs may be larger than the
 * Java heap. A read past the end is the user's broken file, not a defect, and says so.
 */
public final class BootFile {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final int PIECE = 1 << 20;

  private final String name;
  private final MemorySegment content;
  private @Nullable String sha256;

  private BootFile(String name, MemorySegment content) {
    this.name = name;
    this.content = content;
  }

  /** Opens a file. */
  public static BootFile of(Path file) {
    return of(file.toString(), file);
  }

  /**
   * Opens a file under another name.
   *
   * @param name that messages use
   */
  public static BootFile of(String name, Path file) {
    if (!Files.exists(file)) {
      throw new BadInputException(file + ": no such file");
    }
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(file + ": expected a file, found a folder or a device");
    }
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return new BootFile(
          name, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto()));
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /** A file that exists only in memory. */
  public static BootFile of(String name, byte[] content) {
    return new BootFile(name, MemorySegment.ofArray(content));
  }

  /** The name that messages use. */
  public String name() {
    return name;
  }

  /** The name without folders. */
  public String baseName() {
    return name.substring(name.lastIndexOf('/') + 1);
  }

  public long size() {
    return content.byteSize();
  }

  /** The content. */
  public byte[] bytes() {
    return content.toArray(ValueLayout.JAVA_BYTE);
  }

  /** Throws unless the file holds {@code length} bytes at {@code offset}. */
  void require(long offset, long length, String what) {
    if (offset < 0 || length < 0 || offset > size() - length) {
      throw BadInputException.at(
          name,
          offset,
          "%s of 0x%x bytes".formatted(what, length),
          "a file of 0x%x bytes (truncated?)".formatted(size()));
    }
  }

  /** Returns an unsigned byte. */
  int u8(long offset, String what) {
    require(offset, 1, what);
    return content.get(ValueLayout.JAVA_BYTE, offset) & 0xff;
  }

  /** Returns an unsigned little-endian 16-bit number. */
  int u16(long offset, String what) {
    require(offset, 2, what);
    return content.get(SHORT, offset) & 0xffff;
  }

  /** Returns an unsigned little-endian 32-bit number. */
  long u32(long offset, String what) {
    require(offset, 4, what);
    return content.get(INT, offset) & 0xffffffffL;
  }

  /** Returns a little-endian 64-bit number. */
  long u64(long offset, String what) {
    require(offset, 8, what);
    return content.get(LONG, offset);
  }

  byte[] bytes(long offset, int length, String what) {
    require(offset, length, what);
    return content.asSlice(offset, length).toArray(ValueLayout.JAVA_BYTE);
  }

  /** Copies a part of the file into RAM. */
  void copyTo(PhysicalMemory memory, long offset, long address, long length) {
    byte[] piece = new byte[(int) Math.min(PIECE, length)];
    for (long done = 0; done < length; done += piece.length) {
      int count = (int) Math.min(piece.length, length - done);
      MemorySegment.copy(content, ValueLayout.JAVA_BYTE, offset + done, piece, 0, count);
      memory.write(address + done, piece, 0, count);
    }
  }

  /** SHA-256 of the content, in hexadecimal. */
  public synchronized String sha256() {
    String known = sha256;
    if (known == null) {
      known = computeSha256();
      sha256 = known;
    }
    return known;
  }

  private String computeSha256() {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (long done = 0; done < size(); done += PIECE) {
        digest.update(content.asSlice(done, Math.min(PIECE, size() - done)).asByteBuffer());
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }
}
