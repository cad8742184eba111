package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** Folders of the cache with files for a guest. */
public final class Overlay {
  private Overlay() {}

  /**
   * A file.
   *
   * @param mode permissions, as chmod takes them
   */
  public record Entry(int mode, byte[] content) {}

  /**
   * The folder that holds exactly these files, made unless it is there.
   *
   * @param entries by absolute path in the guest
   */
  public static Path folder(GuestCache cache, Map<String, Entry> entries) {
    Path folder = cache.overlays().resolve(digest(entries));
    if (Files.isDirectory(folder)) {
      return folder;
    }
    try {
      Path temporary = Files.createTempDirectory(cache.overlays(), "new");
      for (Map.Entry<String, Entry> entry : entries.entrySet()) {
        Path file = temporary.resolve(entry.getKey().substring(1));
        Files.createDirectories(file.getParent());
        Files.write(file, entry.getValue().content());
        Files.setPosixFilePermissions(file, permissions(entry.getValue().mode()));
      }
      // Whatever the user's umask is, the archive has to be the same.
      try (Stream<Path> walk = Files.walk(temporary)) {
        for (Path path : walk.filter(Files::isDirectory).toList()) {
          Files.setPosixFilePermissions(path, permissions(0755));
        }
      }
      try {
        Files.move(temporary, folder, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException e) {
        // Another run was faster; what it left is the same.
        if (!Files.isDirectory(folder)) {
          throw e;
        }
      }
      return folder;
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected room for the files of a guest, found: %s".formatted(folder, e), e);
    }
  }

  private static Set<PosixFilePermission> permissions(int mode) {
    Set<PosixFilePermission> permissions = EnumSet.noneOf(PosixFilePermission.class);
    // In the order of the bits, from the highest.
    PosixFilePermission[] all = {
      PosixFilePermission.OWNER_READ,
      PosixFilePermission.OWNER_WRITE,
      PosixFilePermission.OWNER_EXECUTE,
      PosixFilePermission.GROUP_READ,
      PosixFilePermission.GROUP_WRITE,
      PosixFilePermission.GROUP_EXECUTE,
      PosixFilePermission.OTHERS_READ,
      PosixFilePermission.OTHERS_WRITE,
      PosixFilePermission.OTHERS_EXECUTE
    };
    for (int i = 0; i < all.length; i++) {
      if ((mode >> all.length - 1 - i & 1) != 0) {
        permissions.add(all[i]);
      }
    }
    return permissions;
  }

  private static String digest(Map<String, Entry> entries) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      entries.forEach((path, entry) -> {
        String head = "%s %o %d\n".formatted(path, entry.mode(), entry.content().length);
        digest.update(head.getBytes(StandardCharsets.UTF_8));
        digest.update(entry.content());
      });
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }
}
