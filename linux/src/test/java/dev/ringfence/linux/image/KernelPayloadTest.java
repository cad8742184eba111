package dev.ringfence.linux.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.apache.commons.compress.compressors.bzip2.BZip2CompressorOutputStream;
import org.apache.commons.compress.compressors.lz4.BlockLZ4CompressorOutputStream;
import org.apache.commons.compress.compressors.lzma.LZMACompressorOutputStream;
import org.apache.commons.compress.compressors.xz.XZCompressorOutputStream;
import org.apache.commons.compress.compressors.zstandard.ZstdCompressorOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** bzImages in all compressions, whole and broken. */
final class KernelPayloadTest {
  private static final int SETUP = 1024;

  /** The kernel's build makes blocks of 8 MiB; smaller ones are as valid. */
  private static final int LZ4_BLOCK = 10_000;

  enum Compression {
    NONE,
    GZIP,
    BZIP2,
    LZMA,
    XZ,
    LZ4,
    ZSTD;

    /** Compresses as the kernel's build does: all but gzip are followed by the size. */
    byte[] pack(byte[] content) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      if (this == LZ4) {
        out.write(number(0x184c2102));
        for (int at = 0; at < content.length; at += LZ4_BLOCK) {
          ByteArrayOutputStream block = new ByteArrayOutputStream();
          try (OutputStream packer = new BlockLZ4CompressorOutputStream(block)) {
            packer.write(content, at, Math.min(LZ4_BLOCK, content.length - at));
          }
          out.write(number(block.size()));
          block.writeTo(out);
        }
      } else {
        try (OutputStream packer =
            switch (this) {
              case GZIP -> new GZIPOutputStream(out);
              case BZIP2 -> new BZip2CompressorOutputStream(out);
              case LZMA -> new LZMACompressorOutputStream(out);
              case XZ -> new XZCompressorOutputStream(out);
              case ZSTD -> new ZstdCompressorOutputStream(out);
              default -> out;
            }) {
          packer.write(content);
        }
      }
      if (this != GZIP && this != NONE) {
        out.write(number(content.length));
      }
      return out.toByteArray();
    }
  }

  private static byte[] number(int value) {
    return ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(value).array();
  }

  private static byte[] image(byte[] payload) {
    ByteBuffer image =
        ByteBuffer.allocate(SETUP + 100 + payload.length + 50).order(ByteOrder.LITTLE_ENDIAN);
    image.put(0x1f1, (byte) 1);
    image.put(0x202, "HdrS".getBytes(StandardCharsets.US_ASCII));
    image.putShort(0x206, (short) 0x20f);
    image.putInt(0x248, 100).putInt(0x24c, payload.length);
    image.put(SETUP + 100, payload);
    return image.array();
  }

  /** Something that compresses, but not to nothing. */
  private static byte[] content(int size) {
    byte[] content = new byte[size];
    Random random = new Random(3);
    for (int i = 0; i < size; i++) {
      content[i] = (byte) random.nextInt(i % 5000 < 3000 ? 4 : 256);
    }
    ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).putInt(0, 0x464c457f);
    return content;
  }

  private static BadInputException refused(byte[] image) {
    BadInputException refusal =
        assertThrows(BadInputException.class, () -> KernelPayload.extract(image, "vmlinuz"));
    assertTrue(refusal.getMessage().startsWith("vmlinuz: "), refusal.getMessage());
    assertEquals(1, refusal.getMessage().lines().count(), refusal.getMessage());
    return refusal;
  }

  @ParameterizedTest
  @EnumSource(Compression.class)
  void whatWasPackedComesOut(Compression compression) throws IOException {
    byte[] content = content(60_000);
    assertArrayEquals(content, KernelPayload.extract(image(compression.pack(content)), "vmlinuz"));
  }

  @ParameterizedTest
  @EnumSource(value = Compression.class, names = "NONE", mode = EnumSource.Mode.EXCLUDE)
  void aCutOrDamagedPayloadIsRefused(Compression compression) throws IOException {
    byte[] packed = compression.pack(content(30_000));
    refused(image(Arrays.copyOf(packed, packed.length / 2)));
    byte[] whole = image(packed);
    refused(Arrays.copyOf(whole, SETUP + 100 + packed.length / 2));
    Random random = new Random(5);
    for (int i = 0; i < 40; i++) {
      byte[] damaged = packed.clone();
      for (int k = 0; k < 20; k++) {
        damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
      }
      try {
        KernelPayload.extract(image(damaged), "vmlinuz");
      } catch (BadInputException e) {
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
      }
    }
  }

  @Test
  void aSizeThatIsNotThatOfTheContentIsRefused() throws IOException {
    byte[] packed = Compression.XZ.pack(content(1000));
    for (int size : new int[] {999, 1001, 0, -1}) {
      ByteBuffer.wrap(packed).order(ByteOrder.LITTLE_ENDIAN).putInt(packed.length - 4, size);
      byte[] image = image(packed);
      if (size == 999) {
        // Less than there is: the rest is not read.
        assertEquals(999, KernelPayload.extract(image, "vmlinuz").length);
      } else {
        refused(image);
      }
    }
  }

  @Test
  void otherFilesAreRefusedWithWhatWasExpected() {
    assertTrue(refused(new byte[100]).getMessage().contains("setup header"));
    assertTrue(refused(new byte[4096]).getMessage().contains("HdrS"));
    byte[] lzo = new byte[200];
    ByteBuffer.wrap(lzo).order(ByteOrder.LITTLE_ENDIAN).putInt(0x4f5a4c89).putInt(196, 1000);
    assertTrue(refused(image(lzo)).getMessage().contains("CONFIG_KERNEL_LZO"));
    Arrays.fill(lzo, (byte) 1);
    assertTrue(refused(image(lzo)).getMessage().contains("01010101"));
    byte[] old = image(lzo);
    old[0x206] = 1;
    assertTrue(refused(old).getMessage().contains("boot protocol"));
  }
}
