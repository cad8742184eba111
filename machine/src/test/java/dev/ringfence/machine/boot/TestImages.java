package dev.ringfence.machine.boot;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Small images with the headers that loaders read. */
final class TestImages {
  static final int LINUX_PREFERRED = 0x1000000;
  static final int LINUX_INIT_SIZE = 0x300000;

  /** What the protected-mode part of the bzImage is filled with. */
  static final byte LINUX_FILLER = 0x5a;

  private TestImages() {}

  private static ByteBuffer over(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** A bzImage of protocol 2.15 with two setup sectors and 8 KiB of kernel. */
  static byte[] linux() {
    byte[] bytes = new byte[3 * 512 + 8192];
    ByteBuffer image = over(bytes);
    image.put(0x1f1, (byte) 2);
    image.putInt(0x1f4, 8192 / 16);
    image.putShort(0x1fe, (short) 0xaa55);
    image.put(0x200, (byte) 0xeb).put(0x201, (byte) 0x6a);
    image.put(0x202, "HdrS".getBytes(StandardCharsets.US_ASCII));
    image.putShort(0x206, (short) 0x20f);
    image.put(0x211, (byte) 1);
    image.putInt(0x22c, 0x7fffffff);
    image.putInt(0x230, 0x200000);
    image.put(0x234, (byte) 1);
    image.putShort(0x236, (short) 3);
    image.putInt(0x238, 2047);
    image.putLong(0x258, LINUX_PREFERRED);
    image.putInt(0x260, LINUX_INIT_SIZE);
    for (int i = 3 * 512; i < image.capacity(); i++) {
      image.put(i, LINUX_FILLER);
    }
    return bytes;
  }

  /** An ELF executable with one segment of 16 bytes in the file and 64 in memory, at 0x100000. */
  static byte[] elf(boolean wide) {
    byte[] bytes = new byte[0x210];
    ByteBuffer image = over(bytes);
    image.putInt(0, 0x464c457f);
    image.put(4, (byte) (wide ? 2 : 1)).put(5, (byte) 1).put(6, (byte) 1);
    image.putShort(16, (short) 2).putShort(18, (short) (wide ? 62 : 3));
    if (wide) {
      image.putLong(24, 0x100004).putLong(32, 64);
      image.putShort(54, (short) 56).putShort(56, (short) 1);
      image.putInt(64, 1);
      image.putLong(72, 0x200).putLong(80, 0x100000).putLong(88, 0x100000);
      image.putLong(96, 16).putLong(104, 64);
    } else {
      image.putInt(24, 0x100004).putInt(28, 52);
      image.putShort(42, (short) 32).putShort(44, (short) 1);
      image.putInt(52, 1);
      image.putInt(56, 0x200).putInt(60, 0x100000).putInt(64, 0x100000);
      image.putInt(68, 16).putInt(72, 64);
    }
    for (int i = 0x200; i < 0x210; i++) {
      image.put(i, (byte) i);
    }
    return bytes;
  }

  /** The 64-bit executable with a second program header: a note with a PVH entry. */
  static byte[] pvh(int entry) {
    byte[] bytes = new byte[0x210];
    ByteBuffer image = over(bytes);
    image.put(elf(true));
    image.putShort(56, (short) 2);
    int header = 64 + 56;
    image.putInt(header, 4).putLong(header + 8, 0x1c0).putLong(header + 32, 20);
    image.putInt(0x1c0, 4).putInt(0x1c4, 4).putInt(0x1c8, 18);
    image.put(0x1cc, "Xen\0".getBytes(StandardCharsets.US_ASCII)).putInt(0x1d0, entry);
    return bytes;
  }

  /** A flat Multiboot image whose header, at offset 16, says 0x200000 for loading and entry. */
  static byte[] multiboot() {
    byte[] bytes = new byte[256];
    ByteBuffer image = over(bytes);
    int flags = 1 << 16 | 3;
    image.putInt(16, 0x1badb002).putInt(20, flags).putInt(24, -(0x1badb002 + flags));
    image.putInt(28, 0x200010).putInt(32, 0x200000).putInt(36, 0x200100).putInt(40, 0x200800);
    image.putInt(44, 0x200030);
    for (int i = 48; i < 256; i++) {
      image.put(i, (byte) i);
    }
    return bytes;
  }

  static byte[] with16(byte[] image, int offset, int value) {
    over(image).putShort(offset, (short) value);
    return image;
  }

  static byte[] with32(byte[] image, int offset, int value) {
    over(image).putInt(offset, value);
    return image;
  }

  static byte[] with64(byte[] image, int offset, long value) {
    over(image).putLong(offset, value);
    return image;
  }
}
