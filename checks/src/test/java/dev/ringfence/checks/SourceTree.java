package dev.ringfence.checks;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** The project's own files, over all modules. */
final class SourceTree {
  static final Path ROOT = Path.of(System.getProperty("ringfence.root"));

  private SourceTree() {}

  /** Classes of the main sources and of the tests. */
  static List<Path> classes() {
    return files("target", ".class");
  }

  static List<Path> javaSources() {
    return files("src", ".java");
  }

  static Path relative(Path file) {
    return ROOT.relativize(file);
  }

  private static List<Path> files(String folder, String suffix) {
    try (Stream<Path> modules = Files.list(ROOT)) {
      return modules
          .filter(module -> Files.exists(module.resolve("pom.xml")))
          .map(module -> module.resolve(folder))
          .filter(Files::isDirectory)
          .flatMap(start -> below(start, suffix).stream())
          .sorted()
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Path> below(Path start, String suffix) {
    try (Stream<Path> all = Files.walk(start)) {
      return all.filter(file -> file.toString().endsWith(suffix)).toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
