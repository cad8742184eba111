package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.List;

/** An image that a machine can start with, checked as far as that is possible without a machine. */
public sealed interface BootImage permits LinuxImage, MultibootImage, ElfImage {
  /**
   * Recognizes an image by its content.
   *
   * @throws BadInputException if it is none of the kinds, or a broken one
   */
  static BootImage of(BootFile file) {
    if (LinuxImage.recognizes(file)) {
      return new LinuxImage(file);
    }
    long multibootHeader = MultibootImage.findHeader(file);
    if (multibootHeader >= 0) {
      return new MultibootImage(file, multibootHeader);
    }
    if (ElfFile.recognizes(file)) {
      return new ElfImage(new ElfFile(file));
    }
    throw new BadInputException(
        "%s: expected a Linux bzImage (HdrS at 0x202), a Multiboot 1 header in the first 8 KiB or"
                .formatted(file.name())
            + " an ELF file, found "
            + ForeignImage.describe(file));
  }

  /** The file that the image came from. */
  BootFile file();

  /** Whether this is a Linux kernel, which has a use for an initramfs and a console argument. */
  boolean isLinux();

  /**
   * Places the image in memory, with everything that it expects to find there.
   *
   * @param commandLine what the user wants the guest to be told
   * @param initrds for Linux the parts of one initramfs, in order; for other images modules, where
   *     the protocol knows them
   */
  InitialState load(
      PhysicalMemory memory, Firmware firmware, String commandLine, List<BootFile> initrds);
}
