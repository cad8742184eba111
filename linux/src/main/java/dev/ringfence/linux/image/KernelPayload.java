package dev.ringfence.linux.image;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.Bytes;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorInputStream;
import org.apache.commons.compress.compressors.gzip.GzipCompressorInputStream;
import org.apache.commons.compress.compressors.lz4.BlockLZ4CompressorInputStream;
import org.apache.commons.compress.compressors.zstandard.ZstdCompressorInputStream;
import org.tukaani.xz.LZMAInputStream;
import org.tukaani.xz.SingleXZInputStream;

/**
 * The ELF file inside a bzImage. Where it lies is in the setup header (Linux,
 * Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length); how it is
 * compressed shows in its first bytes; its size when decompressed is in its last four.
 */
public final class KernelPayload {
  private static final int SETUP_SECTS = 0x1f1;
  private static final int HEADER_MAGIC = 0x202;
  private static final int VERSION = 0x206;
  private static final int PAYLOAD_OFFSET = 0x248;
  private static final int PAYLOAD_LENGTH = 0x24c;
  private static final int SECTOR = 512;

  /** "HdrS". */
  private static final int HDRS = 0x53726448;

  /** The first version of the boot protocol with a payload: Linux 2.6.26. */
  private static final int PAYLOAD_VERSION = 0x208;

  private static final int ELF = 0x464c457f;
  private static final int LZ4_LEGACY = 0x184c2102;
  private static final int XZ = 0x587a37fd;
  private static final int ZSTD = 0xfd2fb528;
  private static final int GZIP = 0x8b1f;
  private static final int BZIP2 = 0x685a42;
  private static final int LZMA = 0x00005d;
  private static final int LZO = 0x4f5a4c89;

  /** Block size of the legacy format of lz4. */
  private static final int LZ4_BLOCK = 8 << 20;

  /** The largest kernel that is unpacked; allyesconfig has less. */
  private static final long MOST = 1L << 30;

  /** Memory for the dictionary of xz and lzma. Kernels are packed with 128 MiB at most. */
  private static final int DICTIONARY_KIB = 256 << 10;

  private KernelPayload() {}

  /**
   * Unpacks the kernel.
   *
   * @param image a bzImage, or an ELF file, which is returned as it is
   * @param name that messages use
   * @throws BadInputException if it is neither, is truncated or is packed in an unknown way
   */
  public static byte[] extract(byte[] image, String name) {
    Bytes file = Bytes.of(image, name);
    if (file.holds(0, 4) && file.s32(0) == ELF) {
      return image;
    }
    file.require(0, PAYLOAD_LENGTH + 4, "setup header of a bzImage");
    if (file.s32(HEADER_MAGIC) != HDRS) {
      throw file.broken(
          HEADER_MAGIC,
          "\"HdrS\", as in every bzImage",
          "bytes %08x".formatted(Integer.reverseBytes(file.s32(HEADER_MAGIC))));
    }
    if (file.u16(VERSION) < PAYLOAD_VERSION) {
      throw file.broken(
          VERSION,
          "boot protocol 0x%x or later".formatted(PAYLOAD_VERSION),
          "0x%x".formatted(file.u16(VERSION)));
    }
    int sectors = file.u8(SETUP_SECTS);
    long start = ((sectors == 0 ? 4 : sectors) + 1L) * SECTOR + file.u32(PAYLOAD_OFFSET);
    Bytes payload = file.slice(start, file.u32(PAYLOAD_LENGTH), "compressed kernel");
    if (payload.length() < 8) {
      throw payload.broken(0, "a compressed kernel", payload.length() + " bytes");
    }
    if (payload.s32(0) == ELF) {
      return payload.toArray();
    }
    long size = payload.u32(payload.length() - 4L);
    if (size == 0 || size > MOST) {
      throw payload.broken(
          payload.length() - 4L,
          "a size of the unpacked kernel of at most 0x%x bytes".formatted(MOST),
          "0x%x".formatted(size));
    }
    return unpack(payload, (int) size);
  }

  private static byte[] unpack(Bytes payload, int size) {
    // gzip ends with the size by itself; behind all others, the kernel's build puts it.
    boolean gzip = payload.u16(0) == GZIP;
    byte[] packed =
        payload.slice(0, payload.length() - (gzip ? 0L : 4L), "compressed kernel").toArray();
    byte[] unpacked;
    try {
      if (payload.s32(0) == LZ4_LEGACY) {
        unpacked = lz4(payload.slice(0, packed.length, "compressed kernel"), size);
      } else {
        try (InputStream in = decompress(packed, payload)) {
          unpacked = in.readNBytes(size);
        }
      }
    } catch (BadInputException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      // The libraries throw unchecked exceptions, too, for broken data.
      throw new BadInputException(
          "%s: expected a compressed kernel, found data that cannot be unpacked: %s"
              .formatted(payload.name(), e.getMessage()),
          e);
    }
    if (unpacked.length != size) {
      throw payload.broken(
          payload.length() - 4L,
          "the size of the unpacked kernel, 0x%x bytes".formatted(unpacked.length),
          "0x%x (damaged?)".formatted(size));
    }
    return unpacked;
  }

  private static InputStream decompress(byte[] packed, Bytes payload) throws IOException {
    ByteArrayInputStream in = new ByteArrayInputStream(packed);
    int magic = payload.s32(0);
    if (magic == XZ) {
      return new SingleXZInputStream(in, DICTIONARY_KIB);
    }
    if (magic == ZSTD) {
      return new ZstdCompressorInputStream(in);
    }
    if (magic == LZO) {
      throw payload.broken(
          0, "a kernel packed with gzip, bzip2, lzma, xz, lz4 or zstd", "LZO (CONFIG_KERNEL_LZO)");
    }
    if ((magic & 0xffff) == GZIP) {
      return new GzipCompressorInputStream(in);
    }
    if ((magic & 0xffffff) == BZIP2) {
      return new BZip2CompressorInputStream(in);
    }
    if ((magic & 0xffffff) == LZMA) {
      return new LZMAInputStream(in, DICTIONARY_KIB);
    }
    throw payload.broken(
        0,
        "a kernel packed with gzip, bzip2, lzma, xz, lz4 or zstd",
        "first bytes %08x".formatted(Integer.reverseBytes(magic)));
  }

  /** The legacy format of lz4: blocks with their compressed size before them. */
  private static byte[] lz4(Bytes payload, int size) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream(size);
    byte[] packed = payload.toArray();
    int at = 4;
    while (at < packed.length) {
      long block = payload.u32(at);
      at += 4;
      payload.require(at, block, "block of lz4");
      try (InputStream in =
          new BlockLZ4CompressorInputStream(new ByteArrayInputStream(packed, at, (int) block))) {
        out.writeBytes(in.readNBytes(Math.min(LZ4_BLOCK, size - out.size())));
      }
      at += (int) block;
    }
    return out.toByteArray();
  }
}
