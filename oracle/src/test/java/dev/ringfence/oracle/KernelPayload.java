package dev.ringfence.oracle;

import dev.ringfence.machine.BadInputException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.apache.commons.compress.compressors.gzip.GzipCompressorInputStream;
import org.apache.commons.compress.compressors.lz4.BlockLZ4CompressorInputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorInputStream;
import org.apache.commons.compress.compressors.zstandard.ZstdCompressorInputStream;

/**
 * The ELF file inside a bzImage. Where it lies is in the setup header (Linux,
 * Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length); how it is compressed
 * shows in its first bytes.
 */
final class KernelPayload {
  private static final int LZ4_LEGACY = 0x184c2102;
  private static final int XZ = 0x587a37fd;
  private static final int ZSTD = 0xfd2fb528;
  private static final int GZIP = 0x00088b1f;

  private KernelPayload() {}

  static byte[] extract(byte[] image) {
    ByteBuffer header = ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
    int start = ((header.get(0x1f1) & 0xff) + 1) * 512 + header.getInt(0x248);
    int length = header.getInt(0x24c);
    if (header.getInt(start) == LZ4_LEGACY) {
      try {
        return lz4(image, header, start + 4, start + length);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return readAll(decompress(Arrays.copyOfRange(image, start, start + length)));
  }

  /** Decompresses by the first bytes. */
  static InputStream decompress(byte[] bytes) {
    ByteArrayInputStream in = new ByteArrayInputStream(bytes);
    int magic = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt(0);
    try {
      if (magic == XZ) {
        return new XZCompressorInputStream(in);
      }
      if (magic == ZSTD) {
        return new ZstdCompressorInputStream(in);
      }
      if ((magic & 0xffffff) == GZIP) {
        return new GzipCompressorInputStream(in);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    throw new BadInputException(
        "expected LZ4, xz, zstd or gzip, found first bytes %08x"
            .formatted(Integer.reverseBytes(magic)));
  }

  private static byte[] readAll(InputStream in) {
    try (in) {
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The legacy format of lz4: blocks with their compressed size before them. */
  private static byte[] lz4(byte[] image, ByteBuffer numbers, int start, int end)
      throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    int at = start;
    while (at + 4 <= end) {
      int size = numbers.getInt(at);
      at += 4;
      // Behind the last block lies the uncompressed size, which is no size of a block.
      if (size <= 0 || size > end - at) {
        break;
      }
      out.write(
          readAll(new BlockLZ4CompressorInputStream(new ByteArrayInputStream(image, at, size))));
      at += size;
    }
    return out.toByteArray();
  }
}
