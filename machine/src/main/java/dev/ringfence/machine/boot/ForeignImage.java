package dev.ringfence.machine.boot;

/** Names files that people take for a kernel, so that the message tells them what they have. */
final class ForeignImage {
  private static final int ARM64_MAGIC = 0x644d5241;
  private static final int RISCV_MAGIC = 0x05435352;

  private ForeignImage() {}

  static String describe(BootFile file) {
    if (file.size() == 0) {
      return "an empty file";
    }
    if (file.size() >= 64) {
      long magic = file.u32(56, "magic");
      if (magic == ARM64_MAGIC) {
        return "a Linux kernel for arm64";
      }
      if (magic == RISCV_MAGIC) {
        return "a Linux kernel for RISC-V";
      }
    }
    int first = file.u8(0, "magic");
    int second = file.size() > 1 ? file.u8(1, "magic") : 0;
    return switch (first << 8 | second) {
      case 0x1f8b -> "a gzip file (an initramfs? --initrd takes it)";
      case 0x3037 -> "a cpio archive (an initramfs? --initrd takes it)";
      case 0xfd37 -> "an xz file";
      case 0x28b5 -> "a zstd file";
      case 0x213c -> "a .deb or other ar archive";
      case 0x4d5a -> "a DOS or EFI program without a Linux setup header";
      default -> "none (first bytes %02x %02x)".formatted(first, second);
    };
  }
}
