package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.apache.commons.compress.archivers.cpio.CpioArchiveEntry;
import org.apache.commons.compress.archivers.cpio.CpioArchiveOutputStream;
import org.apache.commons.compress.archivers.cpio.CpioConstants;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;

/**
 * Builds an initramfs: a cpio archive of format newc (Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). Equal contents give equal bytes:
 * paths are sorted, times are zero, inodes are counted. It is not compressed, because unpacking
 * would cost the guest more than reading costs the host.
 */
public final class Initramfs implements AutoCloseable {
  private static final int PERMISSIONS = 07777;

  private final FileTree tree = new FileTree();
  private final Spool spool;

  public Initramfs(GuestCache cache) {
    try {
      spool = new Spool(cache.temporaryFile(".spool"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether a path is there already, without a leading slash. */
  public boolean has(String path) {
    return tree.has(path);
  }

  public Initramfs folder(String path, int permissions) {
    tree.put(path, new FileTree.Node.Folder(permissions, 0, 0));
    return this;
  }

  public Initramfs file(String path, int permissions, byte[] content) {
    try {
      tree.put(path, new FileTree.Node.RegularFile(permissions, 0, 0, spool.add(content)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return this;
  }

  public Initramfs file(String path, int permissions, String content) {
    return file(path, permissions, content.getBytes(StandardCharsets.UTF_8));
  }

  public Initramfs symlink(String path, String target) {
    tree.put(path, new FileTree.Node.Symlink(target));
    return this;
  }

  public Initramfs characterDevice(String path, int permissions, int major, int minor) {
    tree.put(path, new FileTree.Node.Device(false, permissions, 0, 0, major, minor));
    return this;
  }

  /** Adds the files of a package whose paths, without a leading slash, pass the filter. */
  public Initramfs debPackage(Path deb, Predicate<String> filter) {
    new DebPackage(deb)
        .forEachFile((entry, content) -> {
          String path = FilePaths.withoutLeadingDots(entry.getName());
          if (filter.test(path)) {
            tree.put(path, node(entry, content));
          }
        });
    return this;
  }

  private FileTree.Node node(TarArchiveEntry entry, InputStream content) throws IOException {
    int permissions = entry.getMode() & PERMISSIONS;
    int owner = (int) entry.getLongUserId();
    int group = (int) entry.getLongGroupId();
    if (entry.isDirectory()) {
      return new FileTree.Node.Folder(permissions, owner, group);
    }
    if (entry.isSymbolicLink()) {
      return new FileTree.Node.Symlink(entry.getLinkName());
    }
    if (entry.isLink()) {
      return new FileTree.Node.HardLink(FilePaths.withoutLeadingDots(entry.getLinkName()));
    }
    if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      return new FileTree.Node.Device(
          entry.isBlockDevice(),
          permissions,
          owner,
          group,
          entry.getDevMajor(),
          entry.getDevMinor());
    }
    if (entry.isFIFO()) {
      return new FileTree.Node.Pipe(permissions, owner, group);
    }
    return new FileTree.Node.RegularFile(permissions, owner, group, spool.add(content));
  }

  /** Lays a folder over what is there. Owners become root: the host's users mean nothing inside. */
  public Initramfs overlay(Path folder) {
    if (!Files.isDirectory(folder)) {
      throw new BadInputException("--overlay " + folder + ": expected a folder, found none");
    }
    try (Stream<Path> walk = Files.walk(folder)) {
      for (Path path : walk.sorted().toList()) {
        String relative = folder.relativize(path).toString();
        if (!relative.isEmpty()) {
          tree.put(FilePaths.toLatin1(relative), node(path));
        }
      }
    } catch (IOException | UncheckedIOException e) {
      throw new BadInputException("--overlay " + folder + ": cannot be read: " + e, e);
    }
    return this;
  }

  private FileTree.Node node(Path path) throws IOException {
    if (Files.isSymbolicLink(path)) {
      return new FileTree.Node.Symlink(FilePaths.toLatin1(Files.readSymbolicLink(path).toString()));
    }
    int permissions =
        (int) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS) & PERMISSIONS;
    if (Files.isDirectory(path)) {
      return new FileTree.Node.Folder(permissions, 0, 0);
    }
    if (!Files.isRegularFile(path)) {
      throw new BadInputException(
          "--overlay: expected files, folders and symbolic links, found another kind at " + path);
    }
    try (InputStream content = Files.newInputStream(path)) {
      return new FileTree.Node.RegularFile(permissions, 0, 0, spool.add(content));
    }
  }

  /** Bytes that the files take once they are unpacked, in whole pages. */
  public long unpackedBytes() {
    long bytes = 0;
    for (FileTree.Node node : tree.nodes().values()) {
      bytes +=
          node instanceof FileTree.Node.RegularFile file
              ? 4096 + (file.content().length() + 4095 & -4096)
              : 1024;
    }
    return bytes;
  }

  /** Writes the archive. */
  public void writeTo(Path target) {
    try (FileChannel contents = spool.read();
        OutputStream out = new BufferedOutputStream(Files.newOutputStream(target), 1 << 20);
        CpioArchiveOutputStream cpio =
            new CpioArchiveOutputStream(
                out, CpioConstants.FORMAT_NEW, 512, DebPackage.NAME_ENCODING.name())) {
      Map<String, List<String>> names = namesOfFiles();
      long inode = 1;
      for (Map.Entry<String, FileTree.Node> node : tree.nodes().entrySet()) {
        String path = node.getKey();
        switch (node.getValue()) {
          case FileTree.Node.Folder(int permissions, int owner, int group) -> {
            CpioArchiveEntry entry =
                entry(path, CpioConstants.C_ISDIR | permissions, owner, group, inode++);
            entry.setNumberOfLinks(2);
            cpio.putArchiveEntry(entry);
          }
          case FileTree.Node.RegularFile file -> {
            // All names of a file come together; the last one brings the content.
            List<String> all = names.get(path);
            for (String name : all) {
              CpioArchiveEntry entry =
                  entry(
                      name,
                      CpioConstants.C_ISREG | file.permissions(),
                      file.owner(),
                      file.group(),
                      inode);
              entry.setNumberOfLinks(all.size());
              boolean last = name.equals(all.getLast());
              entry.setSize(last ? file.content().length() : 0);
              cpio.putArchiveEntry(entry);
              if (last) {
                Spool.copy(contents, file.content(), cpio);
              }
              cpio.closeArchiveEntry();
            }
            inode++;
            continue;
          }
          case FileTree.Node.Symlink(String link) -> {
            CpioArchiveEntry entry = entry(path, CpioConstants.C_ISLNK | 0777, 0, 0, inode++);
            byte[] bytes = link.getBytes(DebPackage.NAME_ENCODING);
            entry.setSize(bytes.length);
            cpio.putArchiveEntry(entry);
            cpio.write(bytes);
          }
          case FileTree.Node.HardLink link -> {
            // Written with the file itself.
            continue;
          }
          case FileTree.Node.Device device -> {
            CpioArchiveEntry entry =
                entry(
                    path,
                    (device.block() ? CpioConstants.C_ISBLK : CpioConstants.C_ISCHR)
                        | device.permissions(),
                    device.owner(),
                    device.group(),
                    inode++);
            entry.setRemoteDeviceMaj(device.major());
            entry.setRemoteDeviceMin(device.minor());
            cpio.putArchiveEntry(entry);
          }
          case FileTree.Node.Pipe(int permissions, int owner, int group) ->
              cpio.putArchiveEntry(
                  entry(path, CpioConstants.C_ISFIFO | permissions, owner, group, inode++));
        }
        cpio.closeArchiveEntry();
      }
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected room for the initramfs, found: %s".formatted(target, e), e);
    }
  }

  /** For each regular file its own path and the hard links to it, in ascending order. */
  private Map<String, List<String>> namesOfFiles() {
    Map<String, List<String>> names = new TreeMap<>();
    tree.nodes()
        .forEach((path, node) -> {
          if (node instanceof FileTree.Node.RegularFile) {
            names.computeIfAbsent(path, key -> new ArrayList<>()).add(path);
          } else if (node instanceof FileTree.Node.HardLink(String target)) {
            String file = tree.resolve(target);
            if (!(tree.get(file) instanceof FileTree.Node.RegularFile)) {
              throw new BadInputException(
                  "/%s: expected a hard link to a file, found one to /%s, which is none"
                      .formatted(path, target));
            }
            names.computeIfAbsent(file, key -> new ArrayList<>()).add(path);
          }
        });
    return names;
  }

  private static CpioArchiveEntry entry(String path, int mode, int owner, int group, long inode) {
    CpioArchiveEntry entry = new CpioArchiveEntry(CpioConstants.FORMAT_NEW, path);
    entry.setMode(Integer.toUnsignedLong(mode));
    entry.setUID(owner);
    entry.setGID(group);
    entry.setInode(inode);
    entry.setTime(0);
    return entry;
  }

  @Override
  public void close() {
    try {
      spool.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
