package dev.ringfence.machine.memory;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.nio.ByteBuffer;
import java.security.MessageDigest;

/**
 * The physical address space: RAM below 3 GiB, the hole for devices from 3 GiB to 4 GiB, and the
 * rest of RAM from 4 GiB on. Accesses are little-endian and may be unaligned.
 *
 * <p>Methods here are for devices, boot code and the page walker; the processors' data accesses
 * take the TLB's host addresses instead. Whoever writes RAM through this class passes the gate for
 * decoded code ({@link CodeGate}).
 */
public final class PhysicalMemory implements EntryMemory, Stateful {
  /** First address of the hole for memory-mapped devices: 3 GiB. */
  public static final long HOLE_START = 3L << 30;

  /** First address above the hole: 4 GiB. */
  public static final long HOLE_END = 4L << 30;

  /** Told before code that was decoded from a page is overwritten. */
  public interface CodeGate {
    /**
     * Bytes {@code address} to {@code address + length - 1}, inside one page that was marked, are
     * about to change.
     */
    void codeOverwritten(long address, int length);

    /** Whether decoded code would be dropped by {@link #codeOverwritten}. */
    boolean holdsCode(long address, int length);

    /** Of memory whose code nobody has decoded. */
    CodeGate NO_CODE =
        new CodeGate() {
          @Override
          public void codeOverwritten(long address, int length) {}

          @Override
          public boolean holdsCode(long address, int length) {
            return false;
          }
        };
  }

  /** Told of what was copied into RAM by {@link #write}. */
  public interface CopyListener {
    /** Nobody. */
    CopyListener NONE = (address, length) -> {};

    /** Bytes of RAM have changed. */
    void copied(long address, int length);
  }

  private static final long DIGEST_BYTES = 1L << 20;

  private final long size;
  private final HostMemory.Reservation reservation;
  private final long host;
  private final IoSpace devices = new IoSpace("memory");
  private final boolean[] codePages;
  private CodeGate codeGate = CodeGate.NO_CODE;
  private CopyListener copyListener = CopyListener.NONE;

  /**
   * @param size bytes of RAM, a multiple of 4096
   */
  public PhysicalMemory(long size) {
    if (size <= 0 || (size & 4095) != 0) {
      throw new IllegalArgumentException(
          "RAM size must be a positive multiple of 4096, got " + size);
    }
    this.size = size;
    this.reservation = HostMemory.reserve(size);
    this.host = reservation.address();
    this.codePages = new boolean[Math.toIntExact(size >>> 12)];
  }

  /** Bytes of RAM. */
  public long size() {
    return size;
  }

  /** Bytes of RAM below the device hole. */
  public long sizeBelowHole() {
    return Math.min(size, HOLE_START);
  }

  /** Bytes of RAM from 4 GiB on. */
  public long sizeAboveHole() {
    return size - sizeBelowHole();
  }

  /** Where devices attach their memory-mapped registers, by physical address. */
  public IoSpace devices() {
    return devices;
  }

  public void setCodeGate(CodeGate gate) {
    this.codeGate = gate;
  }

  public void setCopyListener(CopyListener listener) {
    this.copyListener = listener;
  }

  /** Offset into RAM of a physical address, or -1 if it is not RAM. */
  private long ramOffset(long address) {
    if (address >= 0 && address < HOLE_START) {
      return address < size ? address : -1;
    }
    long offset = address - (HOLE_END - HOLE_START);
    return address >= HOLE_END && offset < size ? offset : -1;
  }

  /** Whether all bytes of the range are RAM. */
  public boolean isRam(long address, long length) {
    long first = ramOffset(address);
    return first >= 0
        && length >= 0
        && ramOffset(address + Math.max(length, 1) - 1) == first + Math.max(length, 1) - 1;
  }

  /** Host address of a byte of RAM, or 0 if the physical address is not RAM. */
  public long hostAddress(long address) {
    long offset = ramOffset(address);
    return offset < 0 ? 0 : host + offset;
  }

  /**
   * Number of the RAM page that holds the address, dense from 0, or -1 if the address is not RAM.
   */
  public int ramPage(long address) {
    return (int) (ramOffset(address) >> 12);
  }

  /** Host address of a RAM page, numbered as by {@link #ramPage}. */
  public long hostAddressOfPage(int ramPage) {
    return host + ((long) ramPage << 12);
  }

  /** Physical address of a RAM page, numbered as by {@link #ramPage}. */
  public long addressOfPage(int ramPage) {
    long offset = (long) ramPage << 12;
    return offset < HOLE_START ? offset : offset + (HOLE_END - HOLE_START);
  }

  /** Number of the RAM page at a host address that {@link #hostAddressOfPage} gave. */
  public int ramPageAtHost(long hostPage) {
    return (int) (hostPage - host >>> 12);
  }

  /** Physical address of a byte of RAM at a host address that {@link #hostAddress} gave. */
  public long addressAtHost(long hostAddress) {
    long offset = hostAddress - host;
    return offset < HOLE_START ? offset : offset + (HOLE_END - HOLE_START);
  }

  /** Number of RAM pages. */
  public int ramPages() {
    return codePages.length;
  }

  /** Whether decoded code was taken from the RAM page, so that stores to it must pass the gate. */
  public boolean isCodePage(int ramPage) {
    return codePages[ramPage];
  }

  public void setCodePage(int ramPage, boolean code) {
    codePages[ramPage] = code;
  }

  public byte readByte(long address) {
    long at = hostAddress(address);
    return at != 0 ? HostMemory.getByte(at) : (byte) devices.read(address, 1);
  }

  public short readShort(long address) {
    return isRam(address, 2)
        ? HostMemory.getShort(hostAddress(address))
        : (short) devices.read(address, 2);
  }

  @Override
  public int readInt(long address) {
    return isRam(address, 4)
        ? HostMemory.getInt(hostAddress(address))
        : (int) devices.read(address, 4);
  }

  @Override
  public long readLong(long address) {
    return isRam(address, 8) ? HostMemory.getLong(hostAddress(address)) : devices.read(address, 8);
  }

  public void writeByte(long address, byte value) {
    if (isRam(address, 1)) {
      beforeWrite(address, 1);
      HostMemory.putByte(hostAddress(address), value);
    } else {
      devices.write(address, 1, value & 0xffL);
    }
  }

  public void writeShort(long address, short value) {
    if (isRam(address, 2)) {
      beforeWrite(address, 2);
      HostMemory.putShort(hostAddress(address), value);
    } else {
      devices.write(address, 2, value & 0xffffL);
    }
  }

  @Override
  public void writeInt(long address, int value) {
    if (isRam(address, 4)) {
      beforeWrite(address, 4);
      HostMemory.putInt(hostAddress(address), value);
    } else {
      devices.write(address, 4, value & 0xffffffffL);
    }
  }

  @Override
  public void writeLong(long address, long value) {
    if (isRam(address, 8)) {
      beforeWrite(address, 8);
      HostMemory.putLong(hostAddress(address), value);
    } else {
      devices.write(address, 8, value);
    }
  }

  /**
   * Copies RAM out, eight bytes at a time.
   *
   * @param address a multiple of eight
   * @return whether it is RAM; if not, nothing is copied
   */
  public boolean readLongs(long address, long[] target, int offset, int count) {
    long at = hostAddress(address);
    if (at == 0 || hostAddress(address + 8L * count - 1) == 0) {
      return false;
    }
    for (int i = 0; i < count; i++) {
      target[offset + i] = HostMemory.getLong(at + 8L * i);
    }
    return true;
  }

  /** Copies RAM out. */
  public void read(long address, byte[] target, int offset, int length) {
    checkRam(address, length);
    HostMemory.copy(hostAddress(address), target, offset, length);
  }

  /**
   * Copies into RAM, through the gate for decoded code: what a device does by DMA, and a loader
   * before the start.
   */
  public void write(long address, byte[] source, int offset, int length) {
    checkRam(address, length);
    beforeWrite(address, length);
    HostMemory.copy(source, offset, hostAddress(address), length);
    copyListener.copied(address, length);
  }

  /** Fills RAM with a byte, through the gate for decoded code. */
  public void fill(long address, long length, byte value) {
    checkRam(address, length);
    beforeWrite(address, length);
    HostMemory.fill(hostAddress(address), length, value);
  }

  /** Feeds all of RAM to a digest, in the order of physical addresses. */
  public void digest(MessageDigest digest) {
    for (long at = 0; at < size; at += DIGEST_BYTES) {
      digest.update(HostMemory.bytes(host + at, (int) Math.min(DIGEST_BYTES, size - at)));
    }
  }

  private void checkRam(long address, long length) {
    if (!isRam(address, length)) {
      throw new IllegalArgumentException(
          "physical range %x-%x is not RAM (%d bytes of RAM)"
              .formatted(address, address + length - 1, size));
    }
  }

  private void beforeWrite(long address, long length) {
    long at = address;
    long end = address + length;
    while (at < end) {
      long pageEnd = Math.min(end, (at | 4095) + 1);
      if (codePages[ramPage(at)]) {
        codeGate.codeOverwritten(at, (int) (pageEnd - at));
      }
      at = pageEnd;
    }
  }

  private void dropCode(int ramPage) {
    if (codePages[ramPage]) {
      codeGate.codeOverwritten(addressOfPage(ramPage), 4096);
    }
  }

  /** Gives the memory back to the host. The machine must not run any more. */
  public void close() {
    reservation.arena().close();
  }

  @Override
  public String stateName() {
    return "memory";
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(size);
    byte[] page = new byte[4096];
    for (int i = 0; i < codePages.length; i++) {
      long at = host + ((long) i << 12);
      boolean zero = HostMemory.isZero(at, 4096);
      out.writeBoolean(zero);
      if (!zero) {
        HostMemory.copy(at, page, 0, 4096);
        out.writeBytes(page);
      }
    }
  }

  @Override
  public void restore(StateReader in) {
    in.expectLong("bytes of RAM", size);
    byte[] page = new byte[4096];
    for (int i = 0; i < codePages.length; i++) {
      long at = host + ((long) i << 12);
      if (in.readBoolean()) {
        // A page that is zero already stays untouched, and so out of the host's memory.
        if (!HostMemory.isZero(at, 4096)) {
          dropCode(i);
          HostMemory.fill(at, 4096, (byte) 0);
        }
      } else {
        in.readBytes(page);
        if (!codePages[i]) {
          HostMemory.copy(page, 0, at, 4096);
        } else if (!HostMemory.bytes(at, 4096).equals(ByteBuffer.wrap(page))) {
          dropCode(i);
          HostMemory.copy(page, 0, at, 4096);
        }
      }
    }
  }
}
