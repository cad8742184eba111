package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;

/** The folder of the user's where fetched packages and what was taken out of them stay. */
public final class GuestCache {
  private final Path folder;

  public GuestCache(Path folder) {
    this.folder = folder;
  }

  /** The cache by the XDG Base Directory Specification. */
  public static GuestCache ofUser() {
    String configured = System.getenv("XDG_CACHE_HOME");
    Path base =
        configured != null && configured.startsWith("/")
            ? Path.of(configured)
            : Path.of(System.getProperty("user.home"), ".cache");
    return new GuestCache(base.resolve("ringfence"));
  }

  /** Downloaded .deb files. */
  Path packages() {
    return create("packages");
  }

  /** Files taken out of packages, in a folder for each content. */
  Path extracted() {
    return create("extracted");
  }

  /** Compiled programs of workloads, by digest of what they are made from. */
  public Path programs() {
    return create("programs");
  }

  /** Folders that are laid over a guest's packages, by digest of what is in them. */
  public Path overlays() {
    return create("overlays");
  }

  /** Snapshots of booted guests. */
  public Path snapshots() {
    return create("snapshots");
  }

  /** A raw disk image of zeros, which takes no room on the host. */
  public Path emptyDisk(long bytes) {
    Path file = create("disks").resolve("empty-%dM.img".formatted(bytes >> 20));
    try (RandomAccessFile image = new RandomAccessFile(file.toFile(), "rw")) {
      // Only if it must: setting the length changes the file's times, by which others know it.
      if (image.length() != bytes) {
        image.setLength(bytes);
      }
      return file;
    } catch (IOException e) {
      throw cannotWrite(e);
    }
  }

  /** A new file for the time of one run. */
  public Path temporaryFile(String suffix) {
    try {
      Path file = Files.createTempFile(create("temporary"), "", suffix);
      file.toFile().deleteOnExit();
      return file;
    } catch (IOException e) {
      throw cannotWrite(e);
    }
  }

  private Path create(String name) {
    try {
      return Files.createDirectories(folder.resolve(name));
    } catch (IOException e) {
      throw cannotWrite(e);
    }
  }

  private BadInputException cannotWrite(IOException e) {
    return new BadInputException(
        "%s: expected a cache folder that can be written (XDG_CACHE_HOME sets another), found: %s"
            .formatted(folder, e),
        e);
  }
}
