package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SortedSet;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Packages of the Debian release that the host's apt is configured for. Which servers they come
 * from is apt's business.
 */
final class Apt {
  private final Path folder;
  private final AptAnswers answers;
  private final Consumer<String> progress;

  /** A package as {@code apt-get download --print-uris} lists it. */
  private record Download(String file, long bytes) {
    static Download parse(String line) {
      // 'URI' FILE BYTES CHECKSUM
      String[] fields = line.strip().split(" +");
      if (!line.startsWith("'") || fields.length < 3) {
        return null;
      }
      try {
        return new Download(fields[1], Long.parseLong(fields[2]));
      } catch (NumberFormatException e) {
        return null;
      }
    }
  }

  Apt(GuestCache cache, Consumer<String> progress) {
    this.folder = cache.packages();
    this.answers = new AptAnswers(cache.answers());
    this.progress = progress;
  }

  /** The package that a metapackage stands for: its first dependency whose name begins so. */
  String firstDependency(String metapackage, String prefix) {
    for (String line : ask("apt-cache", List.of("depends", metapackage))) {
      int at = line.indexOf("Depends: " + prefix);
      if (at >= 0) {
        return line.substring(at + "Depends: ".length()).strip();
      }
    }
    throw new BadInputException(
        "apt-cache depends %s: expected a dependency on %s..., found none"
            .formatted(metapackage, prefix));
  }

  /** The packages with everything that they depend on. */
  SortedSet<String> closure(List<String> names) {
    for (String name : names) {
      if (!name.matches("[a-z0-9][a-z0-9+.-]+")) {
        throw new BadInputException(
            "--package %s: expected the name of a Debian package or a .deb file".formatted(name));
      }
    }
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "depends",
                "--recurse",
                "--no-recommends",
                "--no-suggests",
                "--no-conflicts",
                "--no-breaks",
                "--no-replaces",
                "--no-enhances"));
    arguments.addAll(names);
    DependencyListing listing = new DependencyListing(ask("apt-cache", arguments));
    for (String name : names) {
      if (!listing.has(name)) {
        throw new UnknownPackageException(name, NearestNames.hint(name, names()));
      }
    }
    return listing.closure(names);
  }

  /** All packages that apt knows, in alphabetical order. */
  List<String> names() {
    return run("apt-cache", folder, List.of("pkgnames")).stream().sorted().toList();
  }

  /** Fetches what is not there yet; returns the files in the order of the names. */
  List<Path> fetch(List<String> names) {
    List<Path> files = new ArrayList<>();
    List<String> missing = new ArrayList<>();
    long missingBytes = 0;
    // One question for each package would be slow, one for all does not say which line is whose:
    // file names begin with the package's name.
    List<Download> downloads = new ArrayList<>();
    List<String> arguments = new ArrayList<>(List.of("--print-uris", "download"));
    arguments.addAll(names);
    for (String line : ask("apt-get", arguments)) {
      Download download = Download.parse(line);
      if (download != null) {
        downloads.add(download);
      }
    }
    for (String name : names) {
      Download download =
          downloads.stream()
              .filter(candidate -> candidate.file.startsWith(name + "_"))
              .findFirst()
              .orElseThrow(
                  () -> new BadInputException("apt-get download: nothing to download for " + name));
      Path file = folder.resolve(download.file);
      files.add(file);
      if (size(file) != download.bytes) {
        missing.add(name);
        missingBytes += download.bytes;
      }
    }
    if (!missing.isEmpty()) {
      progress.accept(
          "downloading %s (%.1f MB)"
              .formatted(
                  missing.size() == 1 ? missing.getFirst() : missing.size() + " packages",
                  missingBytes / 1e6));
      List<String> download = new ArrayList<>(List.of("-q", "download"));
      download.addAll(missing);
      run("apt-get", folder, download);
    }
    for (Path file : files) {
      if (!Files.exists(file)) {
        throw new BadInputException("apt-get download: expected " + file + ", found no such file");
      }
    }
    return files;
  }

  /**
   * The newest package in the cache, when apt cannot be asked; or null.
   *
   * @param name of the package, a regular expression
   */
  Path newestCached(String name) {
    Pattern file = Pattern.compile(name + "_[^/]*\\.deb");
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .filter(path -> file.matcher(path.getFileName().toString()).matches())
          .max(Comparator.comparingLong(path -> path.toFile().lastModified()))
          .orElse(null);
    } catch (IOException e) {
      return null;
    }
  }

  private static long size(Path file) {
    try {
      return Files.size(file);
    } catch (IOException e) {
      return -1;
    }
  }

  /** Asks in another folder than where packages lie, because those apt-get would not list. */
  private List<String> ask(String tool, List<String> arguments) {
    return answers.get(tool, arguments, () -> run(tool, folder.getParent(), arguments));
  }

  private static List<String> run(String tool, Path directory, List<String> arguments) {
    List<String> command = new ArrayList<>(List.of(tool));
    if (tool.equals("apt-get")) {
      // As root apt would want to download as a user who cannot write to the cache.
      command.addAll(List.of("-o", "APT::Sandbox::User="));
    }
    command.addAll(arguments);
    try {
      Path errors = Files.createTempFile("ringfence", ".apt");
      try {
        Process process =
            new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectError(errors.toFile())
                .start();
        process.getOutputStream().close();
        List<String> lines = new ArrayList<>();
        try (BufferedReader reader = process.inputReader()) {
          reader.lines().forEach(lines::add);
        }
        int status = process.waitFor();
        if (status != 0) {
          throw new AptFailure(tool, arguments, firstError(errors));
        }
        return lines;
      } finally {
        Files.deleteIfExists(errors);
      }
    } catch (IOException e) {
      throw new AptFailure(tool, arguments, tool + " cannot be run; is apt installed?");
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AptFailure(tool, arguments, "interrupted");
    }
  }

  private static String firstError(Path errors) throws IOException {
    return Files.readAllLines(errors).stream()
        .filter(line -> line.startsWith("E:"))
        .map(line -> line.substring(2).strip())
        .findFirst()
        .orElse("no message");
  }

  /** Apt is not there, knows no such package or reaches no server. */
  static final class AptFailure extends BadInputException {
    private static final long serialVersionUID = 1L;

    AptFailure(String tool, List<String> arguments, String reason) {
      super("%s %s: %s".formatted(tool, arguments.getLast(), reason));
    }
  }
}
