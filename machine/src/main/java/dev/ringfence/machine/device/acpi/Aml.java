package dev.ringfence.machine.device.acpi;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * Encoder of ACPI Machine Language (ACPI 6.5, chapter 20), as far as the DSDT needs it. Each method
 * returns the bytes of one term; a term contains others by concatenation.
 */
final class Aml {
  private static final int ZERO = 0x00;
  private static final int ONE = 0x01;
  private static final int NAME = 0x08;
  private static final int BYTE_PREFIX = 0x0a;
  private static final int WORD_PREFIX = 0x0b;
  private static final int DWORD_PREFIX = 0x0c;
  private static final int STRING_PREFIX = 0x0d;
  private static final int SCOPE = 0x10;
  private static final int BUFFER = 0x11;
  private static final int PACKAGE = 0x12;
  private static final int METHOD = 0x14;
  private static final int EXTENDED = 0x5b;
  private static final int DEVICE = 0x82;
  private static final int ARGUMENT_0 = 0x68;
  private static final int STORE = 0x70;
  private static final int IF = 0xa0;
  private static final int RETURN = 0xa4;

  private Aml() {}

  static byte[] concatenate(byte[]... parts) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      out.writeBytes(part);
    }
    return out.toByteArray();
  }

  private static byte[] bytes(int... values) {
    byte[] result = new byte[values.length];
    for (int i = 0; i < values.length; i++) {
      result[i] = (byte) values[i];
    }
    return result;
  }

  /** A name of one segment, padded to four characters; {@code \} in front means the root. */
  static byte[] name(String name) {
    boolean root = name.startsWith("\\");
    String segment = root ? name.substring(1) : name;
    String padded = segment + "_".repeat(4 - segment.length());
    return ((root ? "\\" : "") + padded).getBytes(StandardCharsets.US_ASCII);
  }

  static byte[] integer(long value) {
    if (value == 0) {
      return bytes(ZERO);
    }
    if (value == 1) {
      return bytes(ONE);
    }
    if (value < 0x100) {
      return bytes(BYTE_PREFIX, (int) value);
    }
    if (value < 0x1_0000) {
      return bytes(WORD_PREFIX, (int) value, (int) value >>> 8);
    }
    return concatenate(bytes(DWORD_PREFIX), little(4, value));
  }

  static byte[] little(int count, long value) {
    byte[] result = new byte[count];
    for (int i = 0; i < count; i++) {
      result[i] = (byte) (value >>> 8 * i);
    }
    return result;
  }

  static byte[] string(String text) {
    return concatenate(bytes(STRING_PREFIX), text.getBytes(StandardCharsets.US_ASCII), bytes(0));
  }

  /** A hardware identifier such as "PNP0A03", compressed (ACPI 6.5, section 19.3.4). */
  static byte[] eisaIdentifier(String id) {
    int vendor = 0;
    for (int i = 0; i < 3; i++) {
      vendor = vendor << 5 | id.charAt(i) - '@';
    }
    int product = Integer.parseInt(id.substring(3), 16);
    return bytes(DWORD_PREFIX, vendor >>> 8, vendor, product >>> 8, product);
  }

  /** Puts the length of a package, itself included, in front of its content (section 20.2.4). */
  private static byte[] packageLength(byte[] content) {
    int length = content.length + 1;
    if (length < 0x40) {
      return concatenate(bytes(length), content);
    }
    length++;
    if (length < 0x1000) {
      return concatenate(bytes(0x40 | length & 15, length >>> 4), content);
    }
    length++;
    if (length >= 0x10_0000) {
      throw new IllegalArgumentException("AML package of " + length + " bytes");
    }
    return concatenate(bytes(0x80 | length & 15, length >>> 4, length >>> 12), content);
  }

  static byte[] named(String name, byte[] value) {
    return concatenate(bytes(NAME), name(name), value);
  }

  static byte[] scope(String name, byte[]... terms) {
    return concatenate(bytes(SCOPE), packageLength(concatenate(name(name), concatenate(terms))));
  }

  static byte[] device(String name, byte[]... terms) {
    return concatenate(
        bytes(EXTENDED, DEVICE), packageLength(concatenate(name(name), concatenate(terms))));
  }

  static byte[] method(String name, int arguments, byte[]... terms) {
    return concatenate(
        bytes(METHOD),
        packageLength(concatenate(name(name), bytes(arguments), concatenate(terms))));
  }

  static byte[] list(byte[]... elements) {
    return concatenate(
        bytes(PACKAGE), packageLength(concatenate(bytes(elements.length), concatenate(elements))));
  }

  static byte[] storeArgument0(String target) {
    return concatenate(bytes(STORE, ARGUMENT_0), name(target));
  }

  static byte[] ifTrue(String condition, byte[]... terms) {
    return concatenate(bytes(IF), packageLength(concatenate(name(condition), concatenate(terms))));
  }

  static byte[] returnName(String name) {
    return concatenate(bytes(RETURN), name(name));
  }

  // --- resource descriptors (section 6.4) ---

  /** A buffer of resource descriptors with its end tag. */
  static byte[] resources(byte[]... descriptors) {
    // A checksum of 0 means that it is not checked.
    byte[] content = concatenate(concatenate(descriptors), bytes(0x79, 0));
    return concatenate(bytes(BUFFER), packageLength(concatenate(integer(content.length), content)));
  }

  /** Fixed range of ports with 16-bit decoding. */
  static byte[] ports(int first, int count) {
    return bytes(0x47, 1, first, first >>> 8, first, first >>> 8, 1, count);
  }

  /** An edge-triggered, active-high interrupt that is not shared. */
  static byte[] interrupt(int irq) {
    return bytes(0x22, 1 << irq, 1 << irq >>> 8);
  }

  static byte[] fixedMemory(long base, long length) {
    return concatenate(bytes(0x86, 9, 0, 0), little(4, base), little(4, length));
  }

  /** Bus numbers that a host bridge produces. */
  static byte[] busNumbers(int first, int last) {
    return addressSpace(2, 2, 0, first, last);
  }

  /** Ports that a host bridge passes on. */
  static byte[] portWindow(int first, int last) {
    return addressSpace(2, 1, 3, first, last);
  }

  /** Memory that a host bridge passes on: read-write, not cacheable. */
  static byte[] memoryWindow(long first, long last) {
    return addressSpace(4, 0, 1, first, last);
  }

  /** A word or double word address space descriptor with fixed ends, positively decoded. */
  private static byte[] addressSpace(
      int width, int resourceType, int typeFlags, long first, long last) {
    int tag = width == 2 ? 0x88 : 0x87;
    int length = 3 + 5 * width;
    int fixedEnds = 0x0c;
    return concatenate(
        bytes(tag, length, 0, resourceType, fixedEnds, typeFlags),
        little(width, 0),
        little(width, first),
        little(width, last),
        little(width, 0),
        little(width, last - first + 1));
  }
}
