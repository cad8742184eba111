package dev.ringfence.oracle;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * One instruction to execute with the state before it, or the state after it: a view of 2048 bytes
 * that Java and the native runner (guest/oracle/runner.c) share, so that a case is neither copied
 * nor parsed on its way. The layout is that of {@code struct record} there.
 */
final class CaseRecord {
  /** Bytes of a record. */
  static final int SIZE = 2048;

  /** The two pages that hold code; INT3 wherever no case put its code. */
  static final long CODE_BASE = 0x3000_0000L;

  static final long CODE_SIZE = 0x2000;

  /** The two pages of data, with nothing mapped before and behind. */
  static final long DATA_BASE = 0x2000_0000L;

  static final long DATA_SIZE = 0x2000;

  /** The part of the data pages around their common boundary that a case sets and reads. */
  static final long MIDDLE = DATA_BASE + 0xe00;

  static final int MIDDLE_SIZE = 1024;

  /** The part before the end of the data pages that a case sets and reads. */
  static final long LAST = DATA_BASE + DATA_SIZE - 256;

  static final int LAST_SIZE = 256;

  static final long FS_BASE = DATA_BASE + 0x1000;
  static final long GS_BASE = DATA_BASE - 0x1000;

  /** Input flag: compatibility mode with 32-bit code, else 64-bit mode. */
  static final int CODE32 = 1;

  /** Input flag: x87, MMX and SSE state matters. */
  static final int FLOATING = 2;

  /** Input flag: the data windows matter. */
  static final int MEMORY = 4;

  /** Input flag: RIP may become anything, so nothing but the instruction is put into the pages. */
  static final int BRANCH = 8;

  /** Input flag: segment registers and bases may change. */
  static final int SEGMENTS = 16;

  /** Outcome: the instruction completed. */
  static final int COMPLETED = 0;

  /** Outcome: an exception. */
  static final int EXCEPTION = 1;

  /** Outcome: it did not end. */
  static final int ENDLESS = 2;

  static final int RIP = 24;
  static final int RFLAGS = 32;
  static final int FS_BASE_AT = 40;
  static final int GS_BASE_AT = 48;

  /** Input: linear address of the ModRM operand in memory, for the comparison. */
  static final int OPERAND = 56;

  static final int REGISTERS = 64;
  static final int SELECTORS = 192;
  static final int FX = 256;
  static final int FX_SIZE = 512;
  static final int FX_STATUS = FX + 2;
  static final int FX_TAGS = FX + 4;
  static final int FX_MXCSR = FX + 24;
  static final int FX_STACK = FX + 32;
  static final int FX_VECTORS = FX + 160;
  static final int MIDDLE_AT = 768;
  static final int LAST_AT = MIDDLE_AT + MIDDLE_SIZE;

  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final MemorySegment segment;

  /** A record of its own. */
  CaseRecord() {
    this(MemorySegment.ofArray(new long[SIZE / 8]));
  }

  /** A view of 2048 bytes. */
  CaseRecord(MemorySegment segment) {
    this.segment = segment;
  }

  MemorySegment segment() {
    return segment;
  }

  void copyFrom(CaseRecord other) {
    segment.copyFrom(other.segment);
  }

  void clear() {
    segment.fill((byte) 0);
  }

  long getLong(int at) {
    return segment.get(LONG, at);
  }

  void setLong(int at, long value) {
    segment.set(LONG, at, value);
  }

  int getInt(int at) {
    return segment.get(INT, at);
  }

  void setInt(int at, int value) {
    segment.set(INT, at, value);
  }

  int getShort(int at) {
    return segment.get(SHORT, at) & 0xffff;
  }

  void setShort(int at, int value) {
    segment.set(SHORT, at, (short) value);
  }

  int getByte(int at) {
    return segment.get(ValueLayout.JAVA_BYTE, at) & 0xff;
  }

  void setByte(int at, int value) {
    segment.set(ValueLayout.JAVA_BYTE, at, (byte) value);
  }

  byte[] getBytes(int at, int length) {
    byte[] bytes = new byte[length];
    MemorySegment.copy(segment, ValueLayout.JAVA_BYTE, at, bytes, 0, length);
    return bytes;
  }

  void setBytes(int at, byte[] bytes) {
    MemorySegment.copy(bytes, 0, segment, ValueLayout.JAVA_BYTE, at, bytes.length);
  }

  /** Input flags, or the outcome. */
  int flags() {
    return getInt(0);
  }

  void setFlags(int flags) {
    setInt(0, flags);
  }

  boolean has(int flag) {
    return (flags() & flag) != 0;
  }

  int codeWidth() {
    return has(CODE32) ? 32 : 64;
  }

  /** Number of general registers that the mode has. */
  int registers() {
    return has(CODE32) ? 8 : 16;
  }

  int codeLength() {
    return getInt(4);
  }

  byte[] code() {
    return getBytes(8, codeLength());
  }

  void setCode(byte[] code) {
    setInt(4, code.length);
    setLong(8, 0);
    setLong(16, 0);
    setBytes(8, code);
  }

  /** Whether the other input has the same instruction at the same place. */
  boolean sameCode(CaseRecord other) {
    return codeWidth() == other.codeWidth()
        && rip() == other.rip()
        && getLong(8) == other.getLong(8)
        && getLong(16) == other.getLong(16);
  }

  /** Vector of the exception. */
  int vector() {
    return getInt(4);
  }

  long errorCode() {
    return getLong(8);
  }

  long faultAddress() {
    return getLong(16);
  }

  void setCompleted() {
    setLong(0, COMPLETED);
    setLong(8, 0);
    setLong(16, 0);
  }

  void setException(int vector, long errorCode, long faultAddress) {
    setInt(0, EXCEPTION);
    setInt(4, vector);
    setLong(8, errorCode);
    setLong(16, faultAddress);
  }

  void setEndless() {
    setInt(0, ENDLESS);
  }

  long rip() {
    return getLong(RIP);
  }

  void setRip(long value) {
    setLong(RIP, value);
  }

  long rflags() {
    return getLong(RFLAGS);
  }

  void setRflags(long value) {
    setLong(RFLAGS, value);
  }

  long register(int number) {
    return getLong(REGISTERS + 8 * number);
  }

  void setRegister(int number, long value) {
    setLong(REGISTERS + 8 * number, value);
  }

  int selector(int segmentRegister) {
    return getShort(SELECTORS + 2 * segmentRegister);
  }

  void setSelector(int segmentRegister, int value) {
    setShort(SELECTORS + 2 * segmentRegister, value);
  }

  /** Where in the record the byte at a linear address is kept, or -1. */
  static int windowOffset(long address) {
    if (address >= MIDDLE && address < MIDDLE + MIDDLE_SIZE) {
      return (int) (address - MIDDLE) + MIDDLE_AT;
    }
    if (address >= LAST && address < LAST + LAST_SIZE) {
      return (int) (address - LAST) + LAST_AT;
    }
    return -1;
  }

  /** Linear address of a byte of the windows. */
  static long addressOfWindow(int at) {
    return at < LAST_AT ? at - MIDDLE_AT + MIDDLE : at - LAST_AT + LAST;
  }

  /** Stores as much of a little-endian number as lies in the windows. */
  void putMemory(long address, int bytes, long value) {
    for (int i = 0; i < bytes; i++) {
      int at = windowOffset(address + i);
      if (at >= 0) {
        setByte(at, (int) (value >>> 8 * i));
      }
    }
  }

  /** Little-endian number in the windows, or 0 where there is none. */
  long memory(long address, int bytes) {
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      int at = windowOffset(address + i);
      if (at >= 0) {
        value |= (long) getByte(at) << 8 * i;
      }
    }
    return value;
  }
}
