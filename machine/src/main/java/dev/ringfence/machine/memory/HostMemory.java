package dev.ringfence.machine.memory;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import jdk.internal.misc.Unsafe;

/**
 * Loads and stores at addresses of the host process.
 *
 * <p>Constraint: guest memory access is the hottest code of the project, and it is inlined many
 * times into every translated region. An access through a {@link MemorySegment} over everything is
 * one machine instruction only once C2 has compiled it: before, C1 inlines the checks and the
 * assembly of unaligned values, 126 KB of machine code for one region, and C2 must remove them
 * again. With the JDK's own Unsafe, which all compilers of the JVM know, the reference job needs
 * half the compile time (34 against 77 s), a third of the machine code (54 against 195 MB) and 0.75
 * of the time. Bounds are checked neither way. Callers are the TLB fast path, whose entries exist
 * only for pages of RAM, and {@link PhysicalMemory}, which checks bounds first. Nothing else may
 * call this. Hosts are little-endian and allow unaligned accesses, as x86-64 and AArch64 do.
 */
public final class HostMemory {
  private static final MemorySegment EVERYTHING = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  private static final Unsafe UNSAFE = Unsafe.getUnsafe();

  private HostMemory() {}

  public static byte getByte(long address) {
    return UNSAFE.getByte(null, address);
  }

  public static short getShort(long address) {
    return UNSAFE.getShort(null, address);
  }

  public static int getInt(long address) {
    return UNSAFE.getInt(null, address);
  }

  public static long getLong(long address) {
    return UNSAFE.getLong(null, address);
  }

  public static void putByte(long address, byte value) {
    UNSAFE.putByte(null, address, value);
  }

  public static void putShort(long address, short value) {
    UNSAFE.putShort(null, address, value);
  }

  public static void putInt(long address, int value) {
    UNSAFE.putInt(null, address, value);
  }

  public static void putLong(long address, long value) {
    UNSAFE.putLong(null, address, value);
  }

  static void copy(long address, byte[] target, int offset, int length) {
    MemorySegment.copy(EVERYTHING, ValueLayout.JAVA_BYTE, address, target, offset, length);
  }

  static void copy(byte[] source, int offset, long address, int length) {
    MemorySegment.copy(source, offset, EVERYTHING, ValueLayout.JAVA_BYTE, address, length);
  }

  /** Copies forward or, where the ranges overlap, as if through a buffer. */
  public static void copy(long source, long target, long length) {
    MemorySegment.copy(EVERYTHING, source, EVERYTHING, target, length);
  }

  /**
   * Fills with the low {@code size} bytes (1, 2, 4 or 8) of a value; the length is a multiple of
   * the size.
   */
  public static void fill(long address, int length, long value, int size) {
    long pattern = value << 64 - 8 * size >>> 64 - 8 * size;
    for (int filled = size; filled < 8; filled *= 2) {
      pattern |= pattern << 8 * filled;
    }
    int i = 0;
    for (; i + 8 <= length; i += 8) {
      putLong(address + i, pattern);
    }
    for (; i < length; i += size) {
      for (int n = 0; n < size; n++) {
        putByte(address + i + n, (byte) (pattern >>> 8 * n));
      }
    }
  }

  static ByteBuffer bytes(long address, int length) {
    return EVERYTHING.asSlice(address, length).asByteBuffer();
  }

  static boolean equal(long a, long b, long length) {
    return MemorySegment.mismatch(EVERYTHING, a, a + length, EVERYTHING, b, b + length) == -1;
  }

  /** Whether all bytes are zero; the length is a multiple of 32. */
  static boolean isZero(long address, int length) {
    for (long at = address; at < address + length; at += 32) {
      if ((getLong(at) | getLong(at + 8) | getLong(at + 16) | getLong(at + 24)) != 0) {
        return false;
      }
    }
    return true;
  }

  static void fill(long address, long length, byte value) {
    EVERYTHING.asSlice(address, length).fill(value);
  }

  /**
   * A range of anonymous, zeroed, page-aligned memory that the host commits page by page as it is
   * touched.
   */
  record Reservation(long address, long length, Arena arena) {}

  /**
   * Reserves memory. An {@link Arena} would zero it eagerly, which costs start-up time and makes
   * every guest page resident, so the pages come from mmap and are released when the arena closes.
   */
  static Reservation reserve(long length) {
    Linker linker = Linker.nativeLinker();
    try {
      MethodHandle mmap =
          linker.downcallHandle(
              linker.defaultLookup().findOrThrow("mmap"),
              FunctionDescriptor.of(
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_INT,
                  ValueLayout.JAVA_INT,
                  ValueLayout.JAVA_INT,
                  ValueLayout.JAVA_LONG));
      MethodHandle munmap =
          linker.downcallHandle(
              linker.defaultLookup().findOrThrow("munmap"),
              FunctionDescriptor.of(
                  ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
      MethodHandle madvise =
          linker.downcallHandle(
              linker.defaultLookup().findOrThrow("madvise"),
              FunctionDescriptor.of(
                  ValueLayout.JAVA_INT,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_LONG,
                  ValueLayout.JAVA_INT));
      int readWrite = 3;
      int privateAnonymousNoReserve = 0x4022;
      long address =
          (long) mmap.invokeExact(0L, length, readWrite, privateAnonymousNoReserve, -1, 0L);
      if (address == -1) {
        throw new OutOfMemoryError(
            "the host has no " + length + " bytes of address space for guest memory");
      }
      // MADV_HUGEPAGE is advice: a host without transparent huge pages answers with an error that
      // changes nothing.
      int unused = (int) madvise.invokeExact(address, length, 14);
      Arena arena = Arena.ofShared();
      MemorySegment.ofAddress(address)
          .reinterpret(
              length,
              arena,
              segment -> {
                try {
                  int result = (int) munmap.invokeExact(segment.address(), length);
                  assert result == 0;
                } catch (Throwable e) {
                  throw new AssertionError(e);
                }
              });
      return new Reservation(address, length, arena);
    } catch (Error | RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
