package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * All that a machine needs to boot.
 *
 * @param initrds the archives, in order
 * @param assignment for the init program of ours; null if the guest has another one
 * @param unpackedBytes what the initramfs that was built takes in the guest's memory, unpacked
 */
public record PreparedGuest(
    BootImage image,
    List<BootFile> initrds,
    String commandLine,
    @Nullable Assignment assignment,
    long unpackedBytes) {
  /** What kernel and programs want beside the initramfs. */
  private static final long SYSTEM_BYTES = 96L << 20;

  private static final long MEBIBYTE = 1 << 20;

  public PreparedGuest {
    initrds = List.copyOf(initrds);
  }

  /**
   * Memory with which the initramfs can be unpacked, in bytes, a multiple of 64 MiB: Linux gives
   * the root file system half of the memory that is left beside the archive.
   */
  public long memoryNeeded() {
    long archives = initrds.stream().mapToLong(BootFile::size).sum();
    long bytes = 2 * unpackedBytes + archives + SYSTEM_BYTES;
    return -Math.floorDiv(-bytes, 64 * MEBIBYTE) * 64 * MEBIBYTE;
  }

  /** Throws if the initramfs that was built cannot be unpacked in that much memory. */
  public void checkMemory(long memoryBytes) {
    if (unpackedBytes > 0 && memoryBytes < memoryNeeded()) {
      throw new BadInputException(
          "--memory: expected at least %dM for an initramfs that unpacks to %d MiB, found %dM"
              .formatted(
                  memoryNeeded() / MEBIBYTE, unpackedBytes / MEBIBYTE, memoryBytes / MEBIBYTE));
    }
  }

  /** Places everything in a machine's memory. */
  public void loadInto(Machine machine) {
    machine.load(image, commandLine, initrds);
  }
}
