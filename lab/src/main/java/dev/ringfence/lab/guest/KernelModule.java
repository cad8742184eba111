package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/**
 * A kernel module. Kernel packages bring no modules.dep, which depmod would write at installation;
 * a module names what it depends on in its section .modinfo.
 */
record KernelModule(String name, byte[] content, List<String> dependencies) {
  private static final int SECTION_HEADER_BYTES = 64;

  static KernelModule of(String file, byte[] content) {
    try {
      return new KernelModule(moduleName(file), content, dependencies(content));
    } catch (IndexOutOfBoundsException | ArithmeticException e) {
      throw new BadInputException(file + ": expected an ELF kernel module, found a broken one", e);
    }
  }

  /** The module's name by its file: dashes and underscores are one to the kernel. */
  static String moduleName(String file) {
    String base = file.substring(file.lastIndexOf('/') + 1);
    int dot = base.indexOf('.');
    return (dot < 0 ? base : base.substring(0, dot)).replace('-', '_');
  }

  private static List<String> dependencies(byte[] elf) {
    ByteBuffer bytes = ByteBuffer.wrap(elf).order(ByteOrder.LITTLE_ENDIAN);
    int table = Math.toIntExact(bytes.getLong(0x28));
    int count = bytes.getShort(0x3c) & 0xffff;
    int names = sectionOffset(bytes, table, bytes.getShort(0x3e) & 0xffff);
    for (int i = 0; i < count; i++) {
      int name = names + bytes.getInt(table + i * SECTION_HEADER_BYTES);
      if (startsWith(bytes, name, ".modinfo\0")) {
        int offset = sectionOffset(bytes, table, i);
        int size = Math.toIntExact(bytes.getLong(table + i * SECTION_HEADER_BYTES + 0x20));
        return dependencies(new String(elf, offset, size, StandardCharsets.ISO_8859_1));
      }
    }
    return List.of();
  }

  private static int sectionOffset(ByteBuffer bytes, int table, int section) {
    return Math.toIntExact(bytes.getLong(table + section * SECTION_HEADER_BYTES + 0x18));
  }

  private static boolean startsWith(ByteBuffer bytes, int at, String text) {
    for (int i = 0; i < text.length(); i++) {
      if (bytes.get(at + i) != text.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  private static List<String> dependencies(String modinfo) {
    for (String field : modinfo.split("\0")) {
      if (field.startsWith("depends=")) {
        return Arrays.stream(field.substring("depends=".length()).split(","))
            .filter(name -> !name.isEmpty())
            .map(KernelModule::moduleName)
            .toList();
      }
    }
    return List.of();
  }
}
