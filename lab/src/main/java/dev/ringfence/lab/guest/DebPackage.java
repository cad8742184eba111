package dev.ringfence.lab.guest;

import com.github.luben.zstd.ZstdInputStreamNoFinalizer;
import dev.ringfence.machine.BadInputException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import org.apache.commons.compress.archivers.ar.ArArchiveEntry;
import org.apache.commons.compress.archivers.ar.ArArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.tukaani.xz.XZInputStream;

/**
 * A binary package file (deb(5)): an ar archive of {@code debian-binary}, {@code control.tar.*} and
 * {@code data.tar.*}.
 */
final class DebPackage {
  /** Names are bytes to Linux; in this character set they stay what they are. */
  static final Charset NAME_ENCODING = StandardCharsets.ISO_8859_1;

  private static final int XZ_MEMORY_KIB = 256 << 10;

  /** Takes one file of a package. */
  interface FileConsumer {
    /**
     * Takes a file.
     *
     * @param content of a regular file, only valid during the call
     */
    void accept(TarArchiveEntry entry, InputStream content) throws IOException;
  }

  private final Path file;

  DebPackage(Path file) {
    this.file = file;
  }

  static boolean isDebFile(String name) {
    return name.endsWith(".deb");
  }

  /** The fields of the control file, by name. */
  Map<String, String> control() {
    Map<String, String> fields = new LinkedHashMap<>();
    readTar(
        "control.tar",
        (entry, content) -> {
          if (entry.getName().endsWith("control") && entry.isFile()) {
            String text = new String(content.readAllBytes(), StandardCharsets.UTF_8);
            for (String line : text.lines().toList()) {
              int colon = line.indexOf(':');
              if (colon > 0 && !line.startsWith(" ")) {
                fields.put(line.substring(0, colon), line.substring(colon + 1).strip());
              }
            }
          }
        });
    String architecture = fields.get("Architecture");
    if (architecture == null) {
      throw new BadInputException(
          file + ": expected a control file with an Architecture field, found none");
    }
    if (!architecture.equals("amd64") && !architecture.equals("all")) {
      throw new BadInputException(
          "%s: expected a package for amd64 or all, found one for %s"
              .formatted(file, architecture));
    }
    return fields;
  }

  /** Reads the files that the package installs. */
  void forEachFile(FileConsumer consumer) {
    readTar("data.tar", consumer);
  }

  private void readTar(String member, FileConsumer consumer) {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(file + ": no such file");
    }
    boolean found = false;
    try (ArArchiveInputStream ar =
        new ArArchiveInputStream(new BufferedInputStream(Files.newInputStream(file), 1 << 16))) {
      ArArchiveEntry entry = ar.getNextEntry();
      if (entry == null || !entry.getName().equals("debian-binary")) {
        throw broken(
            "expected debian-binary as the first member, found "
                + (entry == null ? "an empty archive" : entry.getName()));
      }
      String version = new String(ar.readNBytes(8), StandardCharsets.US_ASCII).strip();
      if (!version.startsWith("2.")) {
        throw broken("expected format 2.x, found " + version);
      }
      while (!found && (entry = ar.getNextEntry()) != null) {
        if (entry.getName().startsWith(member)) {
          found = true;
          readTar(decompress(entry.getName(), ar), consumer);
        }
      }
    } catch (BadInputException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      // The libraries meet broken input with whatever their arithmetic runs into.
      throw new BadInputException(
          "%s: expected a complete Debian package, found a broken one: %s"
              .formatted(file, e.getMessage()),
          e);
    }
    if (!found) {
      throw broken("expected a member " + member + ".*, found none (truncated?)");
    }
  }

  private static void readTar(InputStream in, FileConsumer consumer) throws IOException {
    try (TarArchiveInputStream tar = new TarArchiveInputStream(in, NAME_ENCODING.name())) {
      TarArchiveEntry entry;
      while ((entry = tar.getNextEntry()) != null) {
        consumer.accept(entry, tar);
      }
    }
  }

  private InputStream decompress(String name, InputStream in) throws IOException {
    return switch (name.substring(name.lastIndexOf('.') + 1)) {
      case "xz" -> new XZInputStream(in, XZ_MEMORY_KIB);
      case "zst" -> new ZstdInputStreamNoFinalizer(in);
      case "gz" -> new GZIPInputStream(in, 1 << 16);
      case "tar" -> in;
      default -> throw broken("expected compression xz, zst or gz, found " + name);
    };
  }

  private BadInputException broken(String what) {
    return new BadInputException("%s: broken Debian package: %s".formatted(file, what));
  }

  @Override
  public String toString() {
    return file.toString();
  }
}
