package dev.ringfence.machine.boot;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.List;

/** The structure that a Multiboot image finds at EBX (Multiboot Specification 0.6.96, 3.3). */
final class MultibootInformation {
  /** What EAX holds. */
  static final long MAGIC = 0x2badb002L;

  private static final int BYTES = 88;
  private static final int FLAG_MEMORY = 1;
  private static final int FLAG_COMMAND_LINE = 1 << 2;
  private static final int FLAG_MODULES = 1 << 3;
  private static final int FLAG_MEMORY_MAP = 1 << 6;
  private static final int FLAG_LOADER_NAME = 1 << 9;
  private static final int MODULE_BYTES = 16;
  private static final int MAP_ENTRY_BYTES = 24;

  private MultibootInformation() {}

  /** Places the information and what it points to; returns its address. */
  static long write(BootArea area, BootFile image, String commandLine, List<BootFile> modules) {
    PhysicalMemory memory = area.memory();
    long information = area.place("Multiboot information", new byte[BYTES]);
    // The kernel's name comes first, as boot loaders do it: guests take it for argv[0].
    long text = area.placeString("command line", (image.baseName() + " " + commandLine).strip());
    long loader = area.placeString("boot loader name", "ringfence");
    List<BootArea.Module> placed =
        area.placeModules(modules, Math.min(memory.sizeBelowHole(), PhysicalMemory.HOLE_START));
    long list = area.place("module list", new byte[MODULE_BYTES * placed.size()]);
    for (int i = 0; i < placed.size(); i++) {
      BootArea.Module module = placed.get(i);
      long at = list + (long) i * MODULE_BYTES;
      memory.writeInt(at, (int) module.start());
      memory.writeInt(at + 4, (int) module.end());
      memory.writeInt(at + 8, (int) area.placeString("module name", module.name()));
    }
    List<MemoryRange> map = area.map();
    long entries = area.place("memory map", new byte[MAP_ENTRY_BYTES * map.size()]);
    for (int i = 0; i < map.size(); i++) {
      long at = entries + (long) i * MAP_ENTRY_BYTES;
      // The size does not count itself.
      memory.writeInt(at, MAP_ENTRY_BYTES - 4);
      memory.writeLong(at + 4, map.get(i).start());
      memory.writeLong(at + 12, map.get(i).length());
      memory.writeInt(at + 20, map.get(i).type().number());
    }
    memory.writeInt(
        information,
        FLAG_MEMORY | FLAG_COMMAND_LINE | FLAG_MODULES | FLAG_MEMORY_MAP | FLAG_LOADER_NAME);
    memory.writeInt(information + 4, (int) (MemoryMap.CONVENTIONAL_END >> 10));
    memory.writeInt(
        information + 8, (int) (memory.sizeBelowHole() - MemoryMap.EXTENDED_START >> 10));
    memory.writeInt(information + 16, (int) text);
    memory.writeInt(information + 20, placed.size());
    memory.writeInt(information + 24, (int) list);
    memory.writeInt(information + 44, MAP_ENTRY_BYTES * map.size());
    memory.writeInt(information + 48, (int) entries);
    memory.writeInt(information + 64, (int) loader);
    return information;
  }
}
