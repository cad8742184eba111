package dev.ringfence.machine.input;

import dev.ringfence.machine.BadInputException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A range of an input file. Every read is checked against the range; one that leaves it throws
 * {@link BadInputException} with the offset in the file. Numbers are little-endian.
 */
public final class Bytes {
  private static final VarHandle SHORT =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INT =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONG =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final byte[] data;
  private final int start;
  private final int length;
  private final String name;

  private Bytes(byte[] data, int start, int length, String name) {
    this.data = data;
    this.start = start;
    this.length = length;
    this.name = name;
  }

  /**
   * A whole file; the array is not copied.
   *
   * @param name that messages use
   */
  public static Bytes of(byte[] data, String name) {
    return new Bytes(data, 0, data.length, name);
  }

  /** The name that messages use. */
  public String name() {
    return name;
  }

  /** Length of the range in bytes. */
  public int length() {
    return length;
  }

  /** A part of the range; what it is goes into the message if it does not fit. */
  public Bytes slice(long offset, long size, String what) {
    require(offset, size, what);
    return new Bytes(data, start + (int) offset, (int) size, name);
  }

  /** Throws unless the range holds {@code size} bytes at {@code offset}. */
  public void require(long offset, long size, String what) {
    if (offset < 0 || size < 0 || offset > length - size) {
      throw broken(
          offset,
          "%s of 0x%x bytes".formatted(what, size),
          "the end at 0x%x (truncated?)".formatted((long) start + length));
    }
  }

  /** Whether the range holds {@code size} bytes at {@code offset}. */
  public boolean holds(long offset, long size) {
    return offset >= 0 && size >= 0 && offset <= length - size;
  }

  /** The exception for something wrong at an offset of this range. */
  public BadInputException broken(long offset, String expected, String found) {
    return BadInputException.at(name, start + offset, expected, found);
  }

  /** Returns an unsigned byte. */
  public int u8(long offset) {
    if (!holds(offset, 1)) {
      require(offset, 1, "number");
    }
    return data[start + (int) offset] & 0xff;
  }

  /** Returns a signed 16-bit number. */
  public short s16(long offset) {
    if (!holds(offset, 2)) {
      require(offset, 2, "number");
    }
    return (short) SHORT.get(data, start + (int) offset);
  }

  /** Returns an unsigned 16-bit number. */
  public int u16(long offset) {
    return s16(offset) & 0xffff;
  }

  /** Returns a signed 32-bit number. */
  public int s32(long offset) {
    if (!holds(offset, 4)) {
      require(offset, 4, "number");
    }
    return (int) INT.get(data, start + (int) offset);
  }

  /** Returns an unsigned 32-bit number. */
  public long u32(long offset) {
    return s32(offset) & 0xffffffffL;
  }

  /** Returns a 64-bit number. */
  public long s64(long offset) {
    if (!holds(offset, 8)) {
      require(offset, 8, "number");
    }
    return (long) LONG.get(data, start + (int) offset);
  }

  /** Returns a copy of the range. */
  public byte[] toArray() {
    return Arrays.copyOfRange(data, start, start + length);
  }

  /**
   * The characters up to the next zero byte.
   *
   * @throws BadInputException if the range ends before one
   */
  public String string(long offset) {
    long end = offset;
    while (u8(end) != 0) {
      end++;
    }
    return string(offset, (int) (end - offset));
  }

  /** Characters of one byte each. */
  public String string(long offset, int size) {
    require(offset, size, "text");
    return new String(data, start + (int) offset, size, StandardCharsets.ISO_8859_1);
  }

  /** A name from a file as it may be put into a message, which is one line. */
  public static String printable(String name) {
    return name.replaceAll("[^ -~]", "?");
  }

  /**
   * Where a pattern begins.
   *
   * @return the offset, -1 if it is not found at or behind {@code from}
   */
  public int indexOf(byte[] pattern, int from) {
    int last = length - pattern.length;
    for (int at = Math.max(from, 0); at <= last; at++) {
      if (data[start + at] == pattern[0]
          && Arrays.equals(
              data, start + at, start + at + pattern.length, pattern, 0, pattern.length)) {
        return at;
      }
    }
    return -1;
  }
}
