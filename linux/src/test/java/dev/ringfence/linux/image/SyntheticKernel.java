package dev.ringfence.linux.image;

import dev.ringfence.linux.symbol.Symbol;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Builds small ELF files that have what a kernel has: segments, sections, a banner and kallsyms in
 * the layouts of different versions, between bytes that look a little like them.
 */
public final class SyntheticKernel {
  public static final long BASE = 0xffffffff81000000L;
  private static final int HEADERS = 0x1000;
  private static final int TEXT = 0x4000;

  /** Layouts of kallsyms. */
  public enum Layout {
    /** Offsets first; per-CPU symbols absolute. */
    LINUX_5_10,
    /** As before, of a kernel for one processor. */
    LINUX_5_10_UNIPROCESSOR,
    /** With seqs_of_names before the tokens. */
    LINUX_6_2,
    /** Names first. */
    LINUX_6_4,
    /** Names first, no symbol absolute. */
    LINUX_6_15,
    /** Offsets relative to themselves, tables aligned to 4 bytes. */
    LINUX_7_2
  }

  private record Part(String name, byte[] content) {}

  private final List<Symbol> symbols = new ArrayList<>();
  private final List<Part> parts = new ArrayList<>();
  private Layout layout = Layout.LINUX_5_10;
  private String release = "6.1.0-test";
  private boolean kallsyms = true;
  private boolean onlyTokens;
  private boolean sectionHeaders = true;

  /** A kernel with the symbols that every kernel has, and a few hundred functions. */
  public static SyntheticKernel of(Layout layout) {
    SyntheticKernel kernel = new SyntheticKernel();
    kernel.layout = layout;
    if (layout != Layout.LINUX_5_10_UNIPROCESSOR) {
      long perCpu = layout.compareTo(Layout.LINUX_6_15) < 0 ? 0 : BASE + 0x80000;
      kernel.symbol("__per_cpu_start", perCpu, 'A');
      kernel.symbol("current_task", perCpu + 0x40, 'A');
      kernel.symbol("__per_cpu_end", perCpu + 0x2000, 'A');
    }
    kernel.symbol("_text", BASE, 'T');
    kernel.symbol("_stext", BASE, 'T');
    for (int i = 0; i < 700; i++) {
      kernel.symbol("__x64_sys_call" + i, BASE + 16 + 16L * i, i % 3 == 0 ? 't' : 'T');
    }
    kernel.symbol("_etext", BASE + TEXT, 'T');
    kernel.symbol("a_name_" + "longer_".repeat(60), BASE + 0x5000, 'd');
    kernel.symbol("_end", BASE + 0x100000, 'B');
    return kernel;
  }

  public SyntheticKernel symbol(String name, long address, char type) {
    symbols.add(new Symbol(name, address, type));
    return this;
  }

  public SyntheticKernel release(String text) {
    release = text;
    return this;
  }

  /** Adds a section behind the others; {@link #address} tells where it will be. */
  public SyntheticKernel section(String name, byte[] content) {
    parts.add(new Part(name, content));
    return this;
  }

  public SyntheticKernel withoutKallsyms() {
    kallsyms = false;
    return this;
  }

  /** Of the tables of kallsyms, only those by which they are found. */
  public SyntheticKernel withOnlyTokens() {
    onlyTokens = true;
    return this;
  }

  public SyntheticKernel withoutSectionHeaders() {
    sectionHeaders = false;
    return this;
  }

  /** The symbols, sorted as in kallsyms. */
  public List<Symbol> symbols() {
    List<Symbol> sorted = new ArrayList<>(symbols);
    sorted.sort((a, b) -> Long.compareUnsigned(a.address(), b.address()));
    return sorted;
  }

  /** Link address of the section that is added as the n-th, counted from 0. */
  public static long address(int section) {
    return BASE + 0x20000 + 0x4000L * section;
  }

  /** The ELF file. */
  public byte[] elf() {
    ByteBuffer image = ByteBuffer.allocate(0x40000).order(ByteOrder.LITTLE_ENDIAN);
    byte[] noise = new byte[TEXT];
    new Random(1).nextBytes(noise);
    image.put(noise);
    image.put(
        "Linux version %s (someone@somewhere) # SMP\0"
            .formatted(release)
            .getBytes(StandardCharsets.US_ASCII));
    image.put(
        "Linux version %s (someone@somewhere) #1 SMP now\n\0"
            .formatted(release)
            .getBytes(StandardCharsets.US_ASCII));
    // A run of rising numbers, and texts of the digits: neither belongs to a table.
    align(image, 8);
    for (int i = 0; i < 8; i++) {
      image.putInt(3000 * i);
    }
    image.put(
        "x\0000\0001\0002\0003\0004\0005\0006\0007\0008\0009\000:\000"
            .getBytes(StandardCharsets.US_ASCII));
    image.putLong(600);
    if (kallsyms) {
      writeKallsyms(image);
    }
    for (int i = 0; i < parts.size(); i++) {
      image.position((int) (address(i) - BASE));
      image.put(parts.get(i).content());
    }
    return withHeaders(image.array());
  }

  private static void align(ByteBuffer image, int alignment) {
    while (image.position() % alignment != 0) {
      image.put((byte) 0);
    }
  }

  private void writeKallsyms(ByteBuffer image) {
    int alignment = layout == Layout.LINUX_7_2 ? 4 : 8;
    if (onlyTokens) {
      writeTokens(image, alignment);
      return;
    }
    List<Symbol> sorted = symbols();
    boolean offsetsFirst = layout.compareTo(Layout.LINUX_6_4) < 0;
    if (offsetsFirst) {
      writeOffsets(image, sorted, alignment);
    }
    align(image, alignment);
    image.putInt(sorted.size());
    align(image, alignment);
    List<String> tokens = tokens();
    List<Integer> markers = new ArrayList<>();
    int names = image.position();
    for (int i = 0; i < sorted.size(); i++) {
      if (i % 256 == 0) {
        markers.add(image.position() - names);
      }
      byte[] packed = pack(sorted.get(i).type() + sorted.get(i).name(), tokens);
      if (packed.length > 0x7f) {
        image.put((byte) (packed.length & 0x7f | 0x80)).put((byte) (packed.length >> 7));
      } else {
        image.put((byte) packed.length);
      }
      image.put(packed);
    }
    align(image, alignment);
    markers.forEach(image::putInt);
    if (layout == Layout.LINUX_6_2) {
      writeSequence(image, sorted.size());
    }
    writeTokens(image, alignment);
    if (!offsetsFirst) {
      writeOffsets(image, sorted, alignment);
      writeSequence(image, sorted.size());
    }
  }

  private void writeTokens(ByteBuffer image, int alignment) {
    align(image, alignment);
    int table = image.position();
    List<Integer> places = new ArrayList<>();
    for (String token : tokens()) {
      places.add(image.position() - table);
      image.put(token.getBytes(StandardCharsets.ISO_8859_1)).put((byte) 0);
    }
    align(image, alignment);
    places.forEach(place -> image.putShort(place.shortValue()));
  }

  /** Each code that names use stands for itself; some of the others for texts, the rest unused. */
  private List<String> tokens() {
    List<String> texts = List.of("sys_", "__x64_", "T__x64_sys_call", "longer_", "_t", "ss");
    List<String> tokens = new ArrayList<>();
    for (int code = 0; code < 256; code++) {
      boolean used = false;
      for (Symbol symbol : symbols) {
        used |= symbol.name().indexOf(code) >= 0 || symbol.type() == code;
      }
      boolean digit = code >= '0' && code <= '9';
      int text = code - 0xf0;
      tokens.add(
          used || digit
              ? String.valueOf((char) code)
              : text >= 0 && text < texts.size() ? texts.get(text) : "");
    }
    return tokens;
  }

  private static byte[] pack(String text, List<String> tokens) {
    ByteArrayOutputStream packed = new ByteArrayOutputStream();
    int at = 0;
    while (at < text.length()) {
      int best = text.charAt(at);
      for (int code = 0xf0; code < 256; code++) {
        String token = tokens.get(code);
        // Long names keep some letters of their own, so that they need a second byte of length.
        if (token.length() > tokens.get(best).length()
            && text.startsWith(token, at)
            && (!token.equals("longer_") || at % 2 == 0)) {
          best = code;
        }
      }
      packed.write(best);
      at += tokens.get(best).length();
    }
    return packed.toByteArray();
  }

  private void writeOffsets(ByteBuffer image, List<Symbol> sorted, int alignment) {
    align(image, alignment);
    for (Symbol symbol : sorted) {
      long address = symbol.address();
      image.putInt(
          (int)
              switch (layout) {
                case LINUX_5_10, LINUX_6_2, LINUX_6_4 ->
                    address >= 0 ? address : BASE - 1 - address;
                case LINUX_5_10_UNIPROCESSOR, LINUX_6_15 -> address - BASE;
                case LINUX_7_2 -> address - (BASE + image.position());
              });
    }
    if (layout != Layout.LINUX_7_2) {
      align(image, alignment);
      image.putLong(BASE);
    }
  }

  private static void writeSequence(ByteBuffer image, int count) {
    align(image, 4);
    for (int i = 0; i < count; i++) {
      int sequence = (int) (i * 7L % count);
      image.put((byte) (sequence >> 16)).put((byte) (sequence >> 8)).put((byte) sequence);
    }
  }

  private byte[] withHeaders(byte[] content) {
    ByteArrayOutputStream names = new ByteArrayOutputStream();
    names.write(0);
    int sections = sectionHeaders ? parts.size() + 2 : 0;
    int tables = HEADERS + content.length;
    ByteBuffer file =
        ByteBuffer.allocate(tables + 64 * sections + 0x1000).order(ByteOrder.LITTLE_ENDIAN);
    file.putInt(0x464c457f).put((byte) 2).put((byte) 1).put((byte) 1).position(16);
    file.putShort((short) 2).putShort((short) 62).putInt(1).putLong(0x1000000);
    file.putLong(64).putLong(sectionHeaders ? tables : 0).putInt(0);
    file.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    file.putShort((short) 64).putShort((short) sections);
    file.putShort((short) Math.max(0, sections - 1));
    file.putInt(1).putInt(7).putLong(HEADERS).putLong(BASE).putLong(0x1000000);
    file.putLong(content.length).putLong(0x100000).putLong(0x1000);
    file.put(HEADERS, content);
    if (sectionHeaders) {
      file.position(tables + 64);
      for (int i = 0; i < parts.size(); i++) {
        Part part = parts.get(i);
        file.putInt(names.size()).putInt(1).putLong(2).putLong(address(i));
        file.putLong(HEADERS + address(i) - BASE).putLong(part.content().length);
        file.putLong(0).putLong(1).putLong(0);
        names.writeBytes((part.name() + "\0").getBytes(StandardCharsets.US_ASCII));
      }
      int nameTable = tables + 64 * sections;
      file.putInt(0).putInt(3).putLong(0).putLong(0).putLong(nameTable).putLong(names.size());
      file.put(nameTable, names.toByteArray());
    }
    return file.array();
  }
}
