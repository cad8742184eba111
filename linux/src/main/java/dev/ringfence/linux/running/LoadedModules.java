package dev.ringfence.linux.running;

import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The list of modules (Linux, kernel/module/main.c, {@code modules}). It is read again when the
 * guest has changed it, which a walk of the list alone can tell.
 */
final class LoadedModules {
  /** More modules than any kernel has: the end of walks over a broken list. */
  private static final int MOST_MODULES = 4096;

  /** More symbols than any module has. */
  private static final int MOST_SYMBOLS = 200_000;

  private static final int MOST_NAME = 512;

  /** {@code MODULE_STATE_UNFORMED}: its memory is not laid out yet. */
  private static final int UNFORMED = 3;

  /** Elf64_Sym: name (4 bytes), info, other, section (2), value (8), size (8). */
  private static final int SYMBOL_BYTES = 24;

  private static final int SYMBOL_INFO = 4;
  private static final int SYMBOL_SECTION = 6;
  private static final int SYMBOL_VALUE = 8;

  private final RunningMemory memory;
  private final long head;
  private final int list;
  private final int state;
  private final int name;
  private final int kallsyms;
  private final int symbolTable;
  private final int symbolCount;
  private final int stringTable;

  /** Offsets in struct module of pairs of base (8 bytes) and size (4 bytes). */
  private final List<Part> parts = new ArrayList<>();

  private List<LoadedModule> modules = List.of();
  private long[] signature = {};

  private record Part(int base, int size) {}

  LoadedModules(RunningMemory memory, SymbolTable symbols, KernelImage image) {
    this.memory = memory;
    TypeTable types = image.types();
    head = symbols.require("modules");
    list = types.offsetOf("module", "list");
    state = types.offsetOf("module", "state");
    name = types.offsetOf("module", "name");
    kallsyms = types.offsetOf("module", "kallsyms");
    symbolTable = types.offsetOf("mod_kallsyms", "symtab");
    symbolCount = types.offsetOf("mod_kallsyms", "num_symtab");
    stringTable = types.offsetOf("mod_kallsyms", "strtab");
    if (types.has("module", "mem")) {
      // Linux 6.4 and later: one range for each kind of memory.
      int first = types.offsetOf("module", "mem");
      int bytes = types.sizeOf("module_memory");
      int count = (int) types.enumValue("MOD_MEM_NUM_TYPES").orElse(7);
      for (int i = 0; i < count; i++) {
        parts.add(
            new Part(
                first + i * bytes + types.offsetOf("module_memory", "base"),
                first + i * bytes + types.offsetOf("module_memory", "size")));
      }
    } else {
      for (String layout : List.of("core_layout", "init_layout")) {
        parts.add(
            new Part(
                types.offsetOf("module", layout + ".base"),
                types.offsetOf("module", layout + ".size")));
      }
    }
  }

  /** All modules now. */
  List<LoadedModule> all() {
    long[] now = signature();
    if (!Arrays.equals(now, signature)) {
      List<LoadedModule> read = new ArrayList<>();
      for (int i = 0; i < now.length; i += 3) {
        if (now[i + 1] != UNFORMED) {
          read.add(read(now[i]));
        }
      }
      modules = List.copyOf(read);
      signature = now;
    }
    return modules;
  }

  @Nullable LoadedModule at(long linear) {
    for (LoadedModule module : all()) {
      if (module.contains(linear)) {
        return module;
      }
    }
    return null;
  }

  /** For each module of the list its address, its state and the start of its name. */
  private long[] signature() {
    long[] found = new long[3 * 16];
    int used = 0;
    long at = memory.readLong(head);
    while (at != head && at != 0 && used < 3 * MOST_MODULES) {
      if (used == found.length) {
        found = Arrays.copyOf(found, 2 * used);
      }
      long module = at - list;
      found[used++] = module;
      found[used++] = memory.readInt(module + state);
      found[used++] = memory.readLong(module + name);
      at = memory.readLong(at);
    }
    return Arrays.copyOf(found, used);
  }

  private LoadedModule read(long module) {
    List<LoadedModule.Range> ranges = new ArrayList<>();
    for (Part part : parts) {
      long base = memory.readLong(module + part.base);
      long bytes = memory.readInt(module + part.size) & 0xffff_ffffL;
      if (base != 0 && bytes != 0) {
        ranges.add(new LoadedModule.Range(base, base + (bytes + 4095 & -4096)));
      }
    }
    return new LoadedModule(
        memory.string(module + name, 64), module, ranges, symbols(module, ranges));
  }

  private SymbolTable symbols(long module, List<LoadedModule.Range> ranges) {
    long start = -1;
    long end = 0;
    for (LoadedModule.Range range : ranges) {
      start = Long.compareUnsigned(range.start(), start) < 0 ? range.start() : start;
      end = Long.compareUnsigned(range.end(), end) > 0 ? range.end() : end;
    }
    List<Symbol> symbols = new ArrayList<>();
    long tables = memory.readLong(module + kallsyms);
    if (tables != 0) {
      long at = memory.readLong(tables + symbolTable);
      int count = Math.clamp(memory.readInt(tables + symbolCount), 0, MOST_SYMBOLS);
      long strings = memory.readLong(tables + stringTable);
      for (int i = 0; i < count; i++, at += SYMBOL_BYTES) {
        addSymbol(at, strings, ranges, symbols);
      }
    }
    return SymbolTable.of(symbols, start, end);
  }

  private void addSymbol(
      long at, long strings, List<LoadedModule.Range> ranges, List<Symbol> symbols) {
    int info = memory.readByte(at + SYMBOL_INFO);
    int section = memory.readShort(at + SYMBOL_SECTION) & 0xffff;
    long value = memory.readLong(at + SYMBOL_VALUE);
    // Section 0: a symbol of the kernel or of another module that this one refers to.
    if (section == 0 || ranges.stream().noneMatch(range -> range.contains(value))) {
      return;
    }
    String text = memory.string(strings + (memory.readInt(at) & 0xffff_ffffL), MOST_NAME);
    if (!text.isEmpty()) {
      // Type 2 is a function; binding 1 is global (ELF-64 object file format, section 6).
      char letter = (info & 0xf) == 2 ? 't' : 'd';
      boolean global = (info >> 4 & 0xf) == 1;
      symbols.add(new Symbol(text, value, global ? Character.toUpperCase(letter) : letter));
    }
  }
}
