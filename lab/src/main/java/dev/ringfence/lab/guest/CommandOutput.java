package dev.ringfence.lab.guest;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.OptionalInt;

/**
 * The host's end of a command's output: what the init program writes to ttyS1.
 *
 * <pre>
 * ... anything ...  RINGFENCE-UP\n  RINGFENCE-START\n  output, byte for byte  \0RINGFENCE-STATUS ddd\n
 * </pre>
 *
 * <p>After the first record the init program waits for an {@link Assignment}; until then nothing
 * has depended on it.
 *
 * <p>The status record is only that if nothing follows it, so a command may print the same bytes.
 * Output passes at once unless it may be the beginning of the record.
 */
public final class CommandOutput {
  private static final byte[] UP = "RINGFENCE-UP\n".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] START = "RINGFENCE-START\n".getBytes(StandardCharsets.US_ASCII);

  /** The record, with 'd' for a digit. */
  private static final byte[] STATUS =
      "\0RINGFENCE-STATUS ddd\n".getBytes(StandardCharsets.US_ASCII);

  private final OutputStream output;
  private int upSeen;
  private int startSeen;
  private final byte[] held = new byte[STATUS.length];
  private int heldCount;

  /**
   * @param output where the command's output goes
   */
  public CommandOutput(OutputStream output) {
    this.output = output;
  }

  /** Takes the next byte from the guest. */
  public void accept(int value) {
    if (!started()) {
      if (!up()) {
        upSeen = value == UP[upSeen] ? upSeen + 1 : value == UP[0] ? 1 : 0;
      }
      startSeen = value == START[startSeen] ? startSeen + 1 : value == START[0] ? 1 : 0;
      return;
    }
    if (heldCount == STATUS.length || !matches(STATUS[heldCount], value)) {
      release();
    }
    if (matches(STATUS[heldCount], value)) {
      held[heldCount++] = (byte) value;
    } else {
      write(value);
    }
  }

  private static boolean matches(byte pattern, int value) {
    return pattern == 'd' ? value >= '0' && value <= '9' : pattern == value;
  }

  private void release() {
    for (int i = 0; i < heldCount; i++) {
      write(held[i]);
    }
    heldCount = 0;
  }

  private void write(int value) {
    try {
      output.write(value);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Writes how far the guest's records have been read. */
  public void save(StateWriter out) {
    out.writeInt(upSeen);
    out.writeInt(startSeen);
    out.writeInt(heldCount);
    out.writeBytes(held);
  }

  /** Reads what {@link #save} wrote. */
  public void restore(StateReader in) {
    upSeen = in.readInt("bytes of the first record", 0, UP.length);
    startSeen = in.readInt("bytes of the start record", 0, START.length);
    heldCount = in.readInt("bytes of the status record", 0, STATUS.length);
    System.arraycopy(in.readBytes(held.length), 0, held, 0, held.length);
  }

  /** Whether the system is up, and waits to be told what to do. */
  public boolean up() {
    return upSeen == UP.length;
  }

  /** Whether the command has begun; what the console showed before was the system's start. */
  public boolean started() {
    return startSeen == START.length;
  }

  /** The command's exit status, once the guest is off; empty if it never told one. */
  public OptionalInt status() {
    if (heldCount < STATUS.length) {
      return OptionalInt.empty();
    }
    int digits = STATUS.length - 4;
    int status = 0;
    for (int i = 0; i < 3; i++) {
      status = status * 10 + held[digits + i] - '0';
    }
    return OptionalInt.of(status);
  }
}
