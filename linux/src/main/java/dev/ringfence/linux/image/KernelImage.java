package dev.ringfence.linux.image;

import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.Bytes;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A Linux kernel for x86-64 as its image file has it: version, symbols, types, sections. All
 * addresses are link addresses; a kernel that was moved (KASLR) runs at a distance from them that
 * is the same for all.
 *
 * <p>Symbols and types are read when they are first asked for. An instance may be used by several
 * threads.
 */
public final class KernelImage {
  /** Kernels are linked into the last 2 GiB (Linux, Documentation/arch/x86/x86_64/mm.rst). */
  private static final long LOWEST_BASE = 0xffffffff80000000L;

  private static final byte[] BANNER = "Linux version ".getBytes(StandardCharsets.US_ASCII);
  private static final int LONGEST_BANNER = 1024;
  private static final Pattern RELEASE =
      Pattern.compile("Linux version ((\\d{1,4})\\.(\\d{1,4})\\S*) .*");
  private static final Pattern BUILD = Pattern.compile(" #\\d");
  private static final int OLDEST_MAJOR = 5;
  private static final int OLDEST_MINOR = 10;
  private static final String WHICH_WORK =
      "use a kernel for x86-64, Linux 5.10 or later, built with CONFIG_KALLSYMS=y and"
          + " CONFIG_DEBUG_INFO_BTF=y, such as Debian's";

  private final String name;
  private final ElfFile elf;
  private final String banner;
  private final String release;
  private final int major;
  private final int minor;
  private final long linkBase;
  private final long linkEnd;
  private @Nullable SymbolTable symbols;
  private boolean lookedForSymbols;
  private @Nullable TypeTable types;
  private boolean lookedForTypes;

  /** The kernel is valid but has not what is needed of it. */
  public static final class MissingException extends BadInputException {
    private static final long serialVersionUID = 1;

    MissingException(String message) {
      super(message);
    }
  }

  private KernelImage(Bytes file) {
    name = file.name();
    elf = new ElfFile(file);
    long base = 0;
    long end = 0;
    for (ElfFile.Segment segment : elf.segments()) {
      if (Long.compareUnsigned(segment.address(), LOWEST_BASE) >= 0) {
        long segmentEnd = segment.address() + segment.memorySize();
        base = base == 0 || segment.address() < base ? segment.address() : base;
        end = end == 0 || segmentEnd > end ? segmentEnd : end;
      }
    }
    if (base == 0 || end <= base) {
      throw new BadInputException(
          "%s: expected an ELF file with segments at or above 0x%x, as a Linux kernel has; found none"
              .formatted(name, LOWEST_BASE));
    }
    linkBase = base;
    linkEnd = end;
    banner = findBanner();
    Matcher matcher = RELEASE.matcher(banner);
    if (!matcher.matches()) {
      throw new BadInputException(
          "%s: expected the text \"Linux version N.N...\" of a Linux kernel, found %s"
              .formatted(name, banner.isEmpty() ? "none" : "\"" + banner + "\""));
    }
    release = matcher.group(1);
    major = Integer.parseInt(matcher.group(2));
    minor = Integer.parseInt(matcher.group(3));
  }

  /**
   * Reads a kernel.
   *
   * @param image content of a bzImage ({@code vmlinuz}), or of an unpacked {@code vmlinux}
   * @param name of the file, for messages
   * @throws BadInputException if it is not a Linux kernel for x86-64, or is damaged
   */
  public static KernelImage of(byte[] image, String name) {
    return new KernelImage(Bytes.of(KernelPayload.extract(image, name), name));
  }

  /**
   * The text of {@code linux_banner}. Since Linux 6.1 the file holds another one, a weak definition
   * that the linker did not use, without the number of the build.
   */
  private String findBanner() {
    String found = "";
    for (ElfFile.Segment segment : elf.segments()) {
      Bytes content = segment.content();
      for (int at = content.indexOf(BANNER, 0); at >= 0; at = content.indexOf(BANNER, at + 1)) {
        int end = at;
        while (content.holds(end, 1) && content.u8(end) >= ' ' && end - at < LONGEST_BANNER) {
          end++;
        }
        String text = content.string(at, end - at);
        if (RELEASE.matcher(text).matches()) {
          if (BUILD.matcher(text).find()) {
            return text;
          }
          found = found.isEmpty() ? text : found;
        }
      }
    }
    return found;
  }

  /** The name of the file that messages use. */
  public String name() {
    return name;
  }

  /** The kernel's {@code linux_banner} without its newline: {@code Linux version 6.1.0-...}. */
  public String banner() {
    return banner;
  }

  /** What {@code uname -r} prints in it. */
  public String release() {
    return release;
  }

  /** Whether the kernel's version is this one or a later one. */
  public boolean isAtLeast(int wantedMajor, int wantedMinor) {
    return major > wantedMajor || major == wantedMajor && minor >= wantedMinor;
  }

  /** The lowest address of the image, {@code _text}. */
  public long linkBase() {
    return linkBase;
  }

  /** The first address behind the image. */
  public long linkEnd() {
    return linkEnd;
  }

  /**
   * The symbols at their link addresses.
   *
   * @throws MissingException if the kernel has none, or is older than Linux 5.10
   */
  public SymbolTable symbols() {
    requireVersion();
    return findSymbols()
        .orElseThrow(() ->
            new MissingException(
                "%s: Linux %s has no symbols (CONFIG_KALLSYMS); %s"
                    .formatted(name, release, WHICH_WORK)));
  }

  /**
   * The types of C.
   *
   * @throws MissingException if the kernel has none, or is older than Linux 5.10
   */
  public TypeTable types() {
    requireVersion();
    return findTypes()
        .orElseThrow(() ->
            new MissingException(
                "%s: Linux %s has no types (CONFIG_DEBUG_INFO_BTF); %s"
                    .formatted(name, release, WHICH_WORK)));
  }

  private void requireVersion() {
    if (!isAtLeast(OLDEST_MAJOR, OLDEST_MINOR)) {
      throw new MissingException(
          "%s: Linux %s is too old; %s".formatted(name, release, WHICH_WORK));
    }
  }

  /** The symbols at their link addresses, empty if the kernel has none. */
  public synchronized Optional<SymbolTable> findSymbols() {
    if (!lookedForSymbols) {
      List<Symbol> list = Kallsyms.read(elf);
      symbols = list == null ? null : SymbolTable.of(list, linkBase, end(list));
      lookedForSymbols = true;
    }
    return Optional.ofNullable(symbols);
  }

  /** Behind _end lies what only the decompressor uses. */
  private long end(List<Symbol> list) {
    for (Symbol symbol : list) {
      if (symbol.name().equals("_end")) {
        return symbol.address();
      }
    }
    return linkEnd;
  }

  /**
   * The types of C, empty if the kernel has none.
   *
   * @throws BadInputException if it has some that are damaged
   */
  public synchronized Optional<TypeTable> findTypes() {
    if (!lookedForTypes) {
      Bytes content = content(".BTF", "__start_BTF", "__stop_BTF");
      types = content == null ? null : TypeTable.of(content.toArray(), name + ", section .BTF");
      lookedForTypes = true;
    }
    return Optional.ofNullable(types);
  }

  private @Nullable Bytes content(String section, String first, String last) {
    Section area = findArea(section, first, last).orElse(null);
    if (area == null || !area.hasContent()) {
      return null;
    }
    Bytes content = elf.content(section);
    return content != null ? content : elf.at(area.address(), area.size());
  }

  /**
   * Where a section lies; in a file without names of sections, where two symbols say.
   *
   * @param first symbol of the section's first byte
   * @param last symbol of the first byte behind it
   * @return empty if the kernel has no such section
   */
  public Optional<Section> findArea(String section, String first, String last) {
    Section named = elf.section(section);
    if (named != null || !elf.sections().isEmpty()) {
      return Optional.ofNullable(named);
    }
    SymbolTable table = findSymbols().orElse(null);
    if (table == null) {
      return Optional.empty();
    }
    Symbol start = table.find(first);
    Symbol end = table.find(last);
    if (start == null || end == null) {
      return Optional.empty();
    }
    long size = end.address() - start.address();
    return Optional.of(
        new Section(section, start.address(), size, elf.at(start.address(), size) != null));
  }

  /** The sections of the ELF file; empty if they were stripped. */
  public List<Section> sections() {
    return elf.sections();
  }

  /** A copy of a section's bytes, empty if there is no such section or it has none. */
  public Optional<byte[]> section(String section) {
    return Optional.ofNullable(elf.content(section)).map(Bytes::toArray);
  }

  /**
   * A copy of bytes of the image.
   *
   * @param address link address
   * @throws BadInputException if the file does not have them all: they lie outside, or in
   *     zero-initialized memory
   */
  public byte[] read(long address, int length) {
    Bytes bytes = elf.at(address, length);
    if (bytes == null) {
      throw new BadInputException(
          "%s: expected 0x%x bytes for address 0x%x, found none".formatted(name, length, address));
    }
    return bytes.toArray();
  }
}
