package dev.ringfence.lab.guest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * What apt answered, as long as the files are unchanged from which it takes its answers: apt needs
 * most of a second for each, more than a guest's start from a snapshot.
 *
 * <p>A file for each question: first a digest of the state of apt's files, then the answer's lines.
 */
final class AptAnswers {
  /** Settings, lists of packages, and what is installed (apt.conf(5), "Dir"). */
  private static final List<Path> APT_FILES =
      List.of(Path.of("/etc/apt"), Path.of("/var/lib/apt/lists"), Path.of("/var/lib/dpkg/status"));

  /** Deep enough for /etc/apt/sources.list.d/FILE. */
  private static final int DEPTH = 2;

  private final Path folder;
  private final List<Path> sources;

  AptAnswers(Path folder) {
    this(folder, APT_FILES);
  }

  /**
   * @param sources what answers are taken from: files, and folders of them
   */
  AptAnswers(Path folder, List<Path> sources) {
    this.folder = folder;
    this.sources = sources;
  }

  /**
   * The answer to a question.
   *
   * @param ask asks apt
   */
  List<String> get(String tool, List<String> arguments, Supplier<List<String>> ask) {
    Optional<String> state = state();
    if (state.isEmpty()) {
      return ask.get();
    }
    ContentDigest question = new ContentDigest();
    question.add("tool", tool);
    arguments.forEach(argument -> question.add("argument", argument));
    Path file = folder.resolve(question.hexadecimal());
    try {
      List<String> known = Files.readAllLines(file);
      if (!known.isEmpty() && known.getFirst().equals(state.get())) {
        return known.subList(1, known.size());
      }
    } catch (IOException e) {
      // Not asked yet.
    }
    List<String> answer = ask.get();
    write(file, state.get(), answer);
    return answer;
  }

  private void write(Path file, String state, List<String> answer) {
    try {
      Path unfinished = Files.createTempFile(folder, "", ".new");
      Files.write(unfinished, Stream.concat(Stream.of(state), answer.stream()).toList());
      Files.move(
          unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      // The next one asks again.
    }
  }

  /** Empty if apt is configured from elsewhere, or is not there. */
  private Optional<String> state() {
    if (System.getenv("APT_CONFIG") != null) {
      return Optional.empty();
    }
    ContentDigest digest = new ContentDigest();
    try {
      for (Path root : sources) {
        try (Stream<Path> files = Files.walk(root, DEPTH)) {
          for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
            digest.addState("file", file);
          }
        }
      }
      return Optional.of(digest.hexadecimal());
    } catch (IOException | UncheckedIOException e) {
      return Optional.empty();
    }
  }
}
