package dev.ringfence.machine.snapshot;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import com.github.luben.zstd.ZstdOutputStreamNoFinalizer;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.DigestInputStream;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A file with the whole state of a machine. All numbers are big-endian.
 *
 * <pre>
 * 8 bytes    "RFSNAP\r\n"
 * 4 bytes    version of this format
 * string     machine configuration        length in 4 bytes, then UTF-8
 * string     manifest, JSON               not interpreted here
 * 1 byte     how the state is stored: 0 as it is, 1 compressed by zstd
 * state      for each part of the machine:
 *              string   name of the part
 *              pieces   4 bytes length, content; a piece of length 0 ends the part
 *            string     "" ends the parts
 * 32 bytes   SHA-256 of everything before; zeros if the state is stored as it is
 * </pre>
 *
 * <p>A part comes in pieces because its length is not known before it has been written, and memory
 * would not fit into the Java heap. A file is complete or not there: it is written under another
 * name first.
 */
public final class Snapshot {
  /** Changes with every change of what any part writes. */
  public static final int VERSION = 5;

  private static final byte[] MAGIC = "RFSNAP\r\n".getBytes(StandardCharsets.US_ASCII);
  private static final int CHECKSUM_BYTES = 32;
  private static final int MOST_TEXT_BYTES = 64 << 20;
  private static final int PIECE_BYTES = 1 << 16;
  private static final int COMPRESSION_LEVEL = 3;

  /** How the state is stored. */
  public enum Storage {
    /**
     * For the process that saves it, which soon deletes it: neither compressed nor checked. An
     * eighth of the time, and three times the size.
     */
    PLAIN(0),
    /** For whoever finds the file. */
    COMPRESSED(1);

    private final int code;

    Storage(int code) {
      this.code = code;
    }
  }

  private final Path file;
  private final Storage storage;
  private final String configuration;
  private final String manifest;
  private final long stateOffset;
  private final long stateEnd;

  private Snapshot(
      Path file,
      Storage storage,
      String configuration,
      String manifest,
      long stateOffset,
      long stateEnd) {
    this.file = file;
    this.storage = storage;
    this.configuration = configuration;
    this.manifest = manifest;
    this.stateOffset = stateOffset;
    this.stateEnd = stateEnd;
  }

  /** Writes the state of a machine that is not running. */
  public static void save(
      Path file,
      MachineConfiguration configuration,
      String manifest,
      List<Stateful> parts,
      Storage storage) {
    Path temporary = file.resolveSibling(file.getFileName() + ".part");
    try {
      try (OutputStream out =
          new BufferedOutputStream(Files.newOutputStream(temporary), PIECE_BYTES)) {
        MessageDigest digest = sha256();
        DigestOutputStream digested = new DigestOutputStream(out, digest);
        digested.on(storage == Storage.COMPRESSED);
        DataOutputStream head = new DataOutputStream(digested);
        head.write(MAGIC);
        head.writeInt(VERSION);
        writeText(head, configuration.toString());
        writeText(head, manifest);
        head.writeByte(storage.code);
        writeParts(digested, parts, storage);
        out.write(storage == Storage.COMPRESSED ? digest.digest() : new byte[CHECKSUM_BYTES]);
      }
      Files.move(
          temporary, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException | UncheckedIOException e) {
      throw new BadInputException(
          "%s: snapshot cannot be written: %s".formatted(file, BadInputException.reason(e)), e);
    } finally {
      temporary.toFile().delete();
    }
  }

  private static void writeParts(OutputStream out, List<Stateful> parts, Storage storage)
      throws IOException {
    OutputStream unclosed = new Unclosed(out);
    try (DataOutputStream data =
        new DataOutputStream(
            storage == Storage.COMPRESSED
                ? new ZstdOutputStreamNoFinalizer(unclosed, COMPRESSION_LEVEL)
                : unclosed)) {
      for (Stateful part : parts) {
        writeText(data, part.stateName());
        PieceOutput pieces = new PieceOutput(data);
        StateWriter writer = new StateWriter(pieces);
        part.save(writer);
        writer.flush();
        pieces.end();
      }
      writeText(data, "");
    }
  }

  /** Lets a compressor end while the file goes on. */
  private static final class Unclosed extends FilterOutputStream {
    Unclosed(OutputStream out) {
      super(out);
    }

    @Override
    public void write(byte[] source, int offset, int length) throws IOException {
      out.write(source, offset, length);
    }

    @Override
    public void close() throws IOException {
      flush();
    }
  }

  /**
   * Opens a snapshot and checks it as a whole.
   *
   * @throws SnapshotException if it is damaged or of another version
   */
  public static Snapshot open(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new SnapshotException(file + ": no such file");
    }
    try (InputStream in = new BufferedInputStream(Files.newInputStream(file), PIECE_BYTES)) {
      long size = Files.size(file);
      byte[] magic = in.readNBytes(MAGIC.length);
      if (!Arrays.equals(magic, MAGIC)) {
        throw new SnapshotException(
            file + ": at offset 0x0: expected a Ringfence snapshot, found another kind of file");
      }
      MessageDigest digest = sha256();
      digest.update(magic);
      DataInputStream head = new DataInputStream(new DigestInputStream(in, digest));
      int version = head.readInt();
      if (version != VERSION) {
        throw new SnapshotException(
            "%s: at offset 0x8: expected snapshot version %d, found %d (made by another version of Ringfence; take it anew)"
                .formatted(file, VERSION, version));
      }
      String configuration = readText(head, file);
      String manifest = readText(head, file);
      Storage storage =
          head.readUnsignedByte() == Storage.PLAIN.code ? Storage.PLAIN : Storage.COMPRESSED;
      checkSum(file, size, storage);
      long stateOffset =
          MAGIC.length
              + 13L
              + configuration.getBytes(StandardCharsets.UTF_8).length
              + manifest.getBytes(StandardCharsets.UTF_8).length;
      return new Snapshot(
          file, storage, configuration, manifest, stateOffset, size - CHECKSUM_BYTES);
    } catch (IOException e) {
      throw damaged(file, "it ends too early", e);
    }
  }

  private static void checkSum(Path file, long size, Storage storage) throws IOException {
    MessageDigest digest = sha256();
    byte[] piece = new byte[PIECE_BYTES];
    try (InputStream in = Files.newInputStream(file)) {
      long rest = size - CHECKSUM_BYTES;
      if (storage == Storage.PLAIN) {
        in.skipNBytes(rest);
        rest = 0;
      }
      while (rest > 0) {
        int count = in.readNBytes(piece, 0, (int) Math.min(piece.length, rest));
        if (count == 0) {
          break;
        }
        digest.update(piece, 0, count);
        rest -= count;
      }
      byte[] expected = storage == Storage.PLAIN ? new byte[CHECKSUM_BYTES] : digest.digest();
      if (!Arrays.equals(in.readNBytes(CHECKSUM_BYTES), expected)) {
        throw damaged(file, "its SHA-256 is not the one at its end: truncated or changed", null);
      }
    }
  }

  /** What the machine was that the snapshot was taken of. */
  public String configuration() {
    return configuration;
  }

  /** The manifest that was saved with it. */
  public String manifest() {
    return manifest;
  }

  /** Bytes of the file. */
  public long bytes() {
    return stateEnd + CHECKSUM_BYTES;
  }

  /**
   * Brings a machine into the state of the snapshot.
   *
   * @throws SnapshotException if the machine is not configured as the one that was saved
   */
  public void restore(MachineConfiguration machine, List<Stateful> parts) {
    if (!machine.toString().equals(configuration)) {
      throw new SnapshotException(
          "%s: expected a machine as it was saved, %s, found %s"
              .formatted(file, configuration, machine));
    }
    try (InputStream in = new BufferedInputStream(Files.newInputStream(file), PIECE_BYTES);
        DataInputStream data = openState(in)) {
      for (Stateful part : parts) {
        String name = readText(data, file);
        if (!name.equals(part.stateName())) {
          throw damaged(
              file,
              "expected the state of %s, found %s"
                  .formatted(part.stateName(), name.isEmpty() ? "the end" : name),
              null);
        }
        PieceInput pieces = new PieceInput(data);
        part.restore(new StateReader(pieces, name));
        if (pieces.read() >= 0) {
          throw damaged(file, "the state of " + name + " is longer than expected", null);
        }
      }
      String rest = readText(data, file);
      if (!rest.isEmpty()) {
        throw damaged(file, "expected the end, found the state of " + rest, null);
      }
    } catch (IOException e) {
      throw damaged(file, e.getMessage(), e);
    }
  }

  private DataInputStream openState(InputStream in) throws IOException {
    in.skipNBytes(stateOffset);
    return new DataInputStream(
        storage == Storage.COMPRESSED ? new ZstdInputStreamNoFinalizer(in) : in);
  }

  private static void writeText(DataOutputStream out, String text) throws IOException {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  private static String readText(DataInputStream in, Path file) throws IOException {
    int length = in.readInt();
    if (length < 0 || length > MOST_TEXT_BYTES) {
      throw damaged(
          file,
          "expected a text of at most %d bytes, found %d".formatted(MOST_TEXT_BYTES, length),
          null);
    }
    byte[] bytes = in.readNBytes(length);
    if (bytes.length < length) {
      throw new IOException("it ends too early");
    }
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private static SnapshotException damaged(Path file, String what, @Nullable Throwable cause) {
    return new SnapshotException("%s: damaged snapshot: %s".formatted(file, what), cause);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  /** Cuts a part into pieces. */
  private static final class PieceOutput extends OutputStream {
    private final DataOutputStream out;
    private final byte[] piece = new byte[PIECE_BYTES];
    private int length;

    PieceOutput(DataOutputStream out) {
      this.out = out;
    }

    @Override
    public void write(int value) throws IOException {
      if (length == piece.length) {
        writePiece();
      }
      piece[length++] = (byte) value;
    }

    @Override
    public void write(byte[] source, int offset, int count) throws IOException {
      int done = 0;
      while (done < count) {
        if (length == piece.length) {
          writePiece();
        }
        int part = Math.min(count - done, piece.length - length);
        System.arraycopy(source, offset + done, piece, length, part);
        length += part;
        done += part;
      }
    }

    private void writePiece() throws IOException {
      out.writeInt(length);
      out.write(piece, 0, length);
      length = 0;
    }

    void end() throws IOException {
      if (length > 0) {
        writePiece();
      }
      out.writeInt(0);
    }
  }

  /** Joins the pieces of a part; ends where the part ends. */
  private static final class PieceInput extends InputStream {
    private final DataInputStream in;
    private final byte[] piece = new byte[PIECE_BYTES];
    private int position;
    private int length;
    private boolean ended;

    PieceInput(DataInputStream in) {
      this.in = in;
    }

    private boolean fill() throws IOException {
      if (position < length) {
        return true;
      }
      if (ended) {
        return false;
      }
      int next = in.readInt();
      if (next < 0 || next > piece.length) {
        throw new IOException("expected a piece of at most " + piece.length + ", found " + next);
      }
      in.readFully(piece, 0, next);
      position = 0;
      length = next;
      ended = next == 0;
      return !ended;
    }

    @Override
    public int read() throws IOException {
      return fill() ? piece[position++] & 0xff : -1;
    }

    @Override
    public int read(byte[] target, int offset, int count) throws IOException {
      if (count == 0) {
        return 0;
      }
      if (!fill()) {
        return -1;
      }
      int part = Math.min(count, length - position);
      System.arraycopy(piece, position, target, offset, part);
      position += part;
      return part;
    }
  }
}
