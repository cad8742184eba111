package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.InitialState.Mode;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.List;

/** An ELF executable without a Multiboot header: with a PVH entry, or started at its ELF entry. */
final class ElfImage implements BootImage {
  private static final int START_INFO_MAGIC = 0x336ec578;
  private static final int START_INFO_BYTES = 56;
  private static final int MODULE_BYTES = 32;
  private static final int MAP_ENTRY_BYTES = 24;

  private final ElfFile elf;
  private final long pvhEntry;

  ElfImage(ElfFile elf) {
    this.elf = elf;
    this.pvhEntry = elf.pvhEntry();
  }

  @Override
  public BootFile file() {
    return elf.file();
  }

  /** A vmlinux is told from a bare guest by its notes. */
  @Override
  public boolean isLinux() {
    return pvhEntry >= 0 && elf.isLinux();
  }

  @Override
  public InitialState load(
      PhysicalMemory memory, Firmware firmware, String commandLine, List<BootFile> initrds) {
    BootArea area = new BootArea(file().name(), memory, firmware);
    boolean pvh = pvhEntry >= 0;
    boolean protectedMode = pvh || !elf.wide();
    long entry = elf.load(area, protectedMode);
    if (pvh) {
      long information = writeStartInfo(area, firmware, commandLine, initrds);
      return area.enter(Mode.PROTECTED, pvhEntry, 0, information, 0);
    }
    if (protectedMode && entry >>> 32 != 0) {
      throw new BadInputException(
          "%s: expected an entry below 4 GiB, found 0x%x".formatted(file().name(), entry));
    }
    long information = MultibootInformation.write(area, file(), commandLine, initrds);
    return area.enter(
        protectedMode ? Mode.PROTECTED : Mode.LONG,
        entry,
        MultibootInformation.MAGIC,
        information,
        0);
  }

  /** Writes hvm_start_info, version 1 (Xen, public/arch-x86/hvm/start_info.h). */
  private static long writeStartInfo(
      BootArea area, Firmware firmware, String commandLine, List<BootFile> modules) {
    PhysicalMemory memory = area.memory();
    long information = area.place("PVH start info", new byte[START_INFO_BYTES]);
    long text = area.placeString("command line", commandLine);
    List<BootArea.Module> placed = area.placeModules(modules, PhysicalMemory.HOLE_START);
    long list = area.place("module list", new byte[MODULE_BYTES * placed.size()]);
    for (int i = 0; i < placed.size(); i++) {
      memory.writeLong(list + (long) i * MODULE_BYTES, placed.get(i).start());
      memory.writeLong(list + (long) i * MODULE_BYTES + 8, placed.get(i).length());
    }
    List<MemoryRange> map = area.map();
    long entries = area.place("memory map", new byte[MAP_ENTRY_BYTES * map.size()]);
    for (int i = 0; i < map.size(); i++) {
      long at = entries + (long) i * MAP_ENTRY_BYTES;
      memory.writeLong(at, map.get(i).start());
      memory.writeLong(at + 8, map.get(i).length());
      memory.writeInt(at + 16, map.get(i).type().number());
    }
    memory.writeInt(information, START_INFO_MAGIC);
    memory.writeInt(information + 4, 1);
    memory.writeInt(information + 12, placed.size());
    memory.writeLong(information + 16, list);
    memory.writeLong(information + 24, text);
    memory.writeLong(information + 32, firmware.rsdpAddress());
    memory.writeLong(information + 40, entries);
    memory.writeInt(information + 48, map.size());
    return information;
  }
}
