package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** The folder of the user's where fetched packages and what was taken out of them stay. */
public final class GuestCache {
  /** After this a file that was not finished is what a killed process left. */
  private static final long UNFINISHED_SECONDS = 3600;

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

  /** Compiled programs of guests, by digest of what they are made from. */
  public Path programs() {
    return create("programs");
  }

  /** Folders that are laid over a guest's packages, by digest of what is in them. */
  public Path overlays() {
    return create("overlays");
  }

  /** Answers of apt, by question. */
  Path answers() {
    return create("apt");
  }

  /** Archives that were built, by digest of what they are built from. */
  Path archives() {
    return create("archives");
  }

  /** Snapshots of booted guests. */
  public Path snapshots() {
    return create("snapshots");
  }

  /** Whether a folder is one of {@link #overlays}, whose name tells what is in it. */
  boolean isNamedByContent(Path overlay) {
    return overlay.startsWith(folder.resolve("overlays"));
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

  /** Notes that a file is in use, for {@link #keepNewest}. */
  public static void touch(Path file) {
    try {
      Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
    } catch (IOException e) {
      // Then it counts as older than it is.
    }
  }

  /**
   * Deletes what is too much of files that can be made again, and what killed processes left.
   * Whoever has a deleted file open can go on reading it.
   *
   * @param suffix of finished files
   * @param most finished files that stay: those that were used last
   */
  public static void keepNewest(Path folder, String suffix, int most) {
    List<Path> files;
    try (Stream<Path> all = Files.list(folder)) {
      files = all.toList();
    } catch (IOException e) {
      return; // The next one tidies up.
    }
    Instant old = Instant.now().minusSeconds(UNFINISHED_SECONDS);
    Stream<Path> unfinished =
        files.stream()
            .filter(file -> !file.toString().endsWith(suffix))
            .filter(file -> lastUsed(file).isBefore(old));
    Stream<Path> unused =
        files.stream()
            .filter(file -> file.toString().endsWith(suffix))
            .sorted(Comparator.comparing(GuestCache::lastUsed).reversed())
            .skip(most);
    Stream.concat(unfinished, unused).forEach(file -> file.toFile().delete());
  }

  private static Instant lastUsed(Path file) {
    return Instant.ofEpochMilli(file.toFile().lastModified());
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
