package dev.ringfence.machine.snapshot;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/**
 * Reads what {@link StateWriter} wrote. Input may be hostile: lengths are checked against what the
 * reader expects, and every disagreement is a {@link SnapshotException} that names the section.
 */
public final class StateReader {
  private final DataInputStream in;
  private final String section;

  public StateReader(InputStream in, String section) {
    this.in = new DataInputStream(in);
    this.section = section;
  }

  public boolean readBoolean() {
    int value = readByte();
    if (value != 0 && value != 1) {
      throw damaged("a boolean (0 or 1)", value);
    }
    return value == 1;
  }

  /** Returns a signed byte. */
  public int readByte() {
    try {
      return in.readByte();
    } catch (IOException e) {
      throw ended(e);
    }
  }

  public int readInt() {
    try {
      return in.readInt();
    } catch (IOException e) {
      throw ended(e);
    }
  }

  public long readLong() {
    try {
      return in.readLong();
    } catch (IOException e) {
      throw ended(e);
    }
  }

  public byte[] readBytes(int length) {
    byte[] bytes = new byte[length];
    readBytes(bytes);
    return bytes;
  }

  /** Reads as many bytes as the array is long. */
  public void readBytes(byte[] target) {
    try {
      in.readFully(target);
    } catch (IOException e) {
      throw ended(e);
    }
  }

  /** Reads into an array whose length must be the one that was written. */
  public void readLongs(long[] target) {
    expectInt("array length", target.length);
    for (int i = 0; i < target.length; i++) {
      target[i] = readLong();
    }
  }

  /** Reads into an array whose length must be the one that was written. */
  public void readInts(int[] target) {
    expectInt("array length", target.length);
    for (int i = 0; i < target.length; i++) {
      target[i] = readInt();
    }
  }

  /** Reads an int and checks that it lies in {@code [low, high]}. */
  public int readInt(String what, int low, int high) {
    int value = readInt();
    if (value < low || value > high) {
      throw damaged(what + " from " + low + " to " + high, value);
    }
    return value;
  }

  public String readString() {
    return new String(readBytes(readInt("string length", 0, 1 << 24)), StandardCharsets.UTF_8);
  }

  public void expectInt(String what, int expected) {
    int value = readInt();
    if (value != expected) {
      throw damaged(what + " " + expected, value);
    }
  }

  public void expectLong(String what, long expected) {
    long value = readLong();
    if (value != expected) {
      throw damaged(what + " " + expected, value);
    }
  }

  private SnapshotException damaged(String expected, long found) {
    return new SnapshotException(
        "snapshot section " + section + ": expected " + expected + ", found " + found);
  }

  private SnapshotException ended(IOException e) {
    return new SnapshotException("snapshot section " + section + " ends too early", e);
  }
}
