package dev.ringfence.linux.provenance;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.type.TypeTable;
import java.util.ArrayDeque;
import java.util.Deque;

/** Names of files by their inodes: the path in the file system, by the first dentry. */
final class FileNames {
  /** Deepest path that is followed, and longest component. */
  private static final int MOST_COMPONENTS = 32;

  private static final int MOST_NAME = 255;

  /** Type of a file in i_mode: block device (include/uapi/linux/stat.h). */
  private static final int TYPE_MASK = 0xf000;

  private static final int BLOCK_DEVICE = 0x6000;

  /** dev_t: 12 bits of the major, 20 of the minor number (include/linux/kdev_t.h). */
  private static final int MINOR_BITS = 20;

  private final RunningKernel kernel;
  private final KernelMemory memory;
  private final int host;
  private final int dentries;
  private final int mode;
  private final int device;
  private final int number;
  private final int alias;
  private final int name;
  private final int parent;

  FileNames(RunningKernel kernel) {
    this.kernel = kernel;
    memory = kernel.memory();
    TypeTable types = kernel.types();
    host = types.offsetOf("address_space", "host");
    dentries = types.offsetOf("inode", "i_dentry.first");
    mode = types.offsetOf("inode", "i_mode");
    device = types.offsetOf("inode", "i_rdev");
    number = types.offsetOf("inode", "i_ino");
    alias = types.offsetOf("dentry", "d_u.d_alias");
    name = types.offsetOf("dentry", "d_name.name");
    parent = types.offsetOf("dentry", "d_parent");
  }

  /**
   * The file whose pages an address_space has.
   *
   * @return its path in its file system; {@code block device 254:0} or {@code inode 17} if it has
   *     no name; empty for an address_space without a file
   */
  String of(long mapping) {
    long inode = memory.readLong(mapping + host);
    if (inode >= 0) {
      return "";
    }
    if ((memory.readShort(inode + mode) & TYPE_MASK) == BLOCK_DEVICE) {
      int numbers = memory.readInt(inode + device);
      return "block device %d:%d"
          .formatted(numbers >>> MINOR_BITS, numbers & (1 << MINOR_BITS) - 1);
    }
    long first = memory.readLong(inode + dentries);
    return first == 0
        ? "inode " + Long.toUnsignedString(memory.readLong(inode + number))
        : path(first - alias);
  }

  private String path(long dentry) {
    Deque<String> components = new ArrayDeque<>();
    long at = dentry;
    for (int depth = 0; depth < MOST_COMPONENTS; depth++) {
      long above = memory.readLong(at + parent);
      String component = kernel.string(memory.readLong(at + name), MOST_NAME);
      if (above == at || above >= 0) {
        // The root of a file system is "/"; a file of none has only its own name.
        if (!component.equals("/")) {
          components.addFirst(component);
          return String.join("/", components);
        }
        break;
      }
      components.addFirst(component);
      at = above;
    }
    return "/" + String.join("/", components);
  }
}
