package dev.ringfence.lab.guest;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Initramfs archives that were built before. What a reader must know beside the archive is in the
 * name of its file: {@code KEY-BYTES-ours.cpio}, or {@code other} if /init is not our program.
 */
final class ArchiveCache {
  /** Archives that are kept. */
  private static final int MOST = 8;

  private static final String SUFFIX = ".cpio";
  private static final Pattern NAME =
      Pattern.compile("[0-9a-f]+-([0-9]{1,18})-(ours|other)\\.cpio");

  private final Path folder;

  ArchiveCache(Path folder) {
    this.folder = folder;
  }

  /**
   * An archive.
   *
   * @param unpackedBytes what it takes in the guest's memory, unpacked
   * @param initIsOurs whether its /init is our program
   */
  record Archive(Path file, long unpackedBytes, boolean initIsOurs) {}

  /**
   * Name of what is built from these parts; empty if it would take reading them to know whether
   * they have changed: folders of the user's.
   *
   * @param wholeSystem whether it is more than our own program
   */
  static Optional<String> key(
      GuestCache cache,
      boolean wholeSystem,
      List<Path> debs,
      List<Path> overlays,
      List<String> modules,
      Path busybox,
      @Nullable KernelPackage kernelPackage) {
    Optional<String> code = CodeDigest.of(ArchiveCache.class);
    if (code.isEmpty() || !overlays.stream().allMatch(cache::isNamedByContent)) {
      return Optional.empty();
    }
    ContentDigest digest = new ContentDigest();
    digest.add("code", code.get());
    digest.add("whole system", String.valueOf(wholeSystem));
    try {
      for (Path deb : debs) {
        digest.addState("package", deb);
      }
      for (Path overlay : overlays) {
        digest.add("overlay", overlay.toString());
      }
      for (String module : modules) {
        digest.add("module", module);
      }
      digest.addState("busybox", busybox);
      if (kernelPackage != null) {
        digest.addState("kernel", kernelPackage.image());
      }
    } catch (IOException e) {
      return Optional.empty();
    }
    return Optional.of(digest.hexadecimal());
  }

  Optional<Archive> find(String key) {
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, key + "-*" + SUFFIX)) {
      for (Path file : files) {
        Matcher name = NAME.matcher(file.getFileName().toString());
        if (name.matches()) {
          GuestCache.touch(file);
          return Optional.of(
              new Archive(file, Long.parseLong(name.group(1)), name.group(2).equals("ours")));
        }
      }
    } catch (IOException e) {
      // Then it is built.
    }
    return Optional.empty();
  }

  /** Moves an archive into the cache; one that cannot be moved stays where it is. */
  Archive add(String key, Archive built) {
    Path file =
        folder.resolve(
            "%s-%d-%s%s"
                .formatted(key, built.unpackedBytes, built.initIsOurs ? "ours" : "other", SUFFIX));
    try {
      Files.move(
          built.file, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      return built;
    }
    GuestCache.keepNewest(folder, SUFFIX, MOST);
    return new Archive(file, built.unpackedBytes, built.initIsOurs);
  }
}
