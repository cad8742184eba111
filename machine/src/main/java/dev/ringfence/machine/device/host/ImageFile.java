package dev.ringfence.machine.device.host;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.zip.CRC32C;

/**
 * A raw disk image. By default the file is never changed: writes go to an overlay in memory, which
 * is part of a snapshot.
 */
public final class ImageFile implements BlockBackend {
  /** What happens to writes. */
  public enum Mode {
    /** Kept in memory, lost at the end of the run. */
    COPY_ON_WRITE,
    /** Written to the file. */
    WRITABLE,
    /** Refused. */
    READ_ONLY
  }

  private static final int BLOCK = 4096;
  private static final byte[] ZEROS = new byte[BLOCK];

  /** Stands in the overlay for a block of zeros. */
  private static final byte[] ZERO_BLOCK = {};

  /** Number of blocks whose checksum tells in a snapshot whether the file is still the same. */
  private static final int SAMPLES = 64;

  /** Images in formats that are not raw, by their first bytes. */
  private static final Map<String, String> FOREIGN =
      Map.of("QFI\u00fb", "qcow2", "KDMV", "VMDK", "vhdx", "VHDX", "conectix", "VHD");

  private final Path file;
  private final Mode mode;
  private final FileChannel channel;
  private final long size;
  private final TreeMap<Long, byte[]> overlay = new TreeMap<>();

  private ImageFile(Path file, Mode mode, FileChannel channel, long size) {
    this.file = file;
    this.mode = mode;
    this.channel = channel;
    this.size = size;
  }

  /**
   * Opens an image.
   *
   * @throws BadInputException if the file is missing or cannot be a raw image
   */
  public static ImageFile open(Path file, Mode mode) {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException("disk image " + file + ": no such file");
    }
    Set<StandardOpenOption> options = EnumSet.of(StandardOpenOption.READ);
    if (mode == Mode.WRITABLE) {
      options.add(StandardOpenOption.WRITE);
    }
    try {
      FileChannel channel = FileChannel.open(file, options);
      try {
        ImageFile image = new ImageFile(file, mode, channel, channel.size());
        image.checkFormat();
        return image;
      } catch (BadInputException | IOException e) {
        channel.close();
        throw e;
      }
    } catch (IOException e) {
      throw new BadInputException("disk image " + file + ": cannot be read: " + e, e);
    }
  }

  private void checkFormat() throws IOException {
    if (size == 0 || size % SECTOR != 0) {
      throw new BadInputException(
          "disk image %s: expected a size that is a positive multiple of %d bytes, found %d"
              .formatted(file, SECTOR, size));
    }
    byte[] start = new byte[8];
    readFile(0, start, 0, start.length);
    String text = new String(start, StandardCharsets.ISO_8859_1);
    for (Map.Entry<String, String> format : FOREIGN.entrySet()) {
      if (text.startsWith(format.getKey())) {
        throw BadInputException.at(
            "disk image " + file,
            0,
            "a raw image",
            format.getValue() + "; convert it (qemu-img convert -O raw)");
      }
    }
  }

  @Override
  public long size() {
    return size;
  }

  @Override
  public boolean isReadOnly() {
    return mode == Mode.READ_ONLY;
  }

  private void readFile(long offset, byte[] target, int start, int length) throws IOException {
    ByteBuffer buffer = ByteBuffer.wrap(target, start, length);
    long at = offset;
    while (buffer.hasRemaining()) {
      int count = channel.read(buffer, at);
      if (count < 0) {
        throw new IOException("disk image " + file + " became shorter than " + size + " bytes");
      }
      at += count;
    }
  }

  @Override
  public void read(long offset, byte[] target, int start, int length) throws IOException {
    if (overlay.isEmpty()) {
      readFile(offset, target, start, length);
      return;
    }
    int done = 0;
    while (done < length) {
      long at = offset + done;
      int inBlock = (int) (at % BLOCK);
      int count = Math.min(length - done, BLOCK - inBlock);
      byte[] block = overlay.get(at / BLOCK);
      if (block != null) {
        System.arraycopy(block.length == 0 ? ZEROS : block, inBlock, target, start + done, count);
      } else {
        // Blocks up to the next one of the overlay come from the file in one read.
        Long next = overlay.ceilingKey(at / BLOCK);
        long end = next == null ? offset + length : Math.min(offset + length, next * BLOCK);
        count = (int) (end - at);
        readFile(at, target, start + done, count);
      }
      done += count;
    }
  }

  @Override
  public void write(long offset, byte[] source, int start, int length) throws IOException {
    switch (mode) {
      case READ_ONLY -> throw new IOException("disk image " + file + " is read-only");
      case WRITABLE -> {
        ByteBuffer buffer = ByteBuffer.wrap(source, start, length);
        long at = offset;
        while (buffer.hasRemaining()) {
          at += channel.write(buffer, at);
        }
      }
      case COPY_ON_WRITE -> {
        int done = 0;
        while (done < length) {
          long at = offset + done;
          int inBlock = (int) (at % BLOCK);
          int count = Math.min(length - done, BLOCK - inBlock);
          System.arraycopy(source, start + done, blockForWrite(at, count), inBlock, count);
          done += count;
        }
      }
    }
  }

  /**
   * The overlay's block at an offset, filled from the file unless all of it will be overwritten.
   */
  private byte[] blockForWrite(long offset, int count) throws IOException {
    long number = offset / BLOCK;
    byte[] block = overlay.get(number);
    if (block == null || block.length == 0) {
      boolean inFile = block == null;
      block = new byte[BLOCK];
      if (inFile && count < BLOCK) {
        long first = number * BLOCK;
        readFile(first, block, 0, (int) Math.min(BLOCK, size - first));
      }
      overlay.put(number, block);
    }
    return block;
  }

  @Override
  public void writeZeroes(long offset, long length) throws IOException {
    long done = 0;
    while (done < length) {
      long at = offset + done;
      int count = (int) Math.min(length - done, BLOCK - at % BLOCK);
      if (mode == Mode.COPY_ON_WRITE && count == BLOCK) {
        overlay.put(at / BLOCK, ZERO_BLOCK);
      } else {
        write(at, ZEROS, 0, count);
      }
      done += count;
    }
  }

  @Override
  public void discard(long offset, long length) throws IOException {
    // Only whole blocks can be given up. The file itself keeps its content.
    long first = (offset + BLOCK - 1) / BLOCK;
    long end = (offset + length) / BLOCK;
    if (first < end) {
      overlay.subMap(first, end).clear();
    }
  }

  @Override
  public void flush() throws IOException {
    if (mode == Mode.WRITABLE) {
      channel.force(false);
    }
  }

  /** Checksum of blocks spread over the file. */
  private int fingerprint() {
    CRC32C checksum = new CRC32C();
    byte[] block = new byte[BLOCK];
    try {
      for (int i = 0; i < SAMPLES; i++) {
        long offset = size / SAMPLES * i;
        int length = (int) Math.min(BLOCK, size - offset);
        readFile(offset, block, 0, length);
        checksum.update(block, 0, length);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return (int) checksum.getValue();
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(size);
    // A file that the guest writes changes with the run; its content at the snapshot is not kept.
    boolean constant = mode != Mode.WRITABLE;
    out.writeBoolean(constant);
    if (constant) {
      out.writeInt(fingerprint());
    }
    out.writeInt(overlay.size());
    for (Map.Entry<Long, byte[]> block : overlay.entrySet()) {
      out.writeLong(block.getKey());
      boolean zero = block.getValue().length == 0;
      out.writeBoolean(zero);
      if (!zero) {
        out.writeBytes(block.getValue());
      }
    }
  }

  @Override
  public void restore(StateReader in) {
    in.expectLong("size of disk image " + file, size);
    boolean constant = in.readBoolean();
    if (constant) {
      in.expectInt("samples of disk image " + file + " with checksum", fingerprint());
    }
    overlay.clear();
    int blocks = in.readInt("changed blocks of disk image " + file, 0, Integer.MAX_VALUE);
    for (int i = 0; i < blocks; i++) {
      long number = in.readLong();
      overlay.put(number, in.readBoolean() ? ZERO_BLOCK : in.readBytes(BLOCK));
    }
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }
}
