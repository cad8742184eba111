package dev.ringfence.cli;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where the results of a command go. */
final class OutputOption {
  private static final Path RUNS = Path.of("runs");

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Folder of the results. Default: runs/NAME, for 'attack' runs/attack.")
  private @Nullable Path folder;

  /**
   * Complains of a chosen folder that cannot be written, before anything takes time.
   *
   * @throws BadInputException if it cannot
   */
  void check() {
    if (folder != null) {
      create(folder);
    }
  }

  /**
   * The folder, which is there then.
   *
   * @param name of the folder in {@code runs} if none was chosen
   * @throws BadInputException if it cannot be written
   */
  Path folder(String name) {
    Path chosen = folder == null ? RUNS.resolve(name) : folder;
    create(chosen);
    return chosen;
  }

  private static void create(Path folder) {
    String wrong = Files.isDirectory(folder) && !Files.isWritable(folder) ? "one that cannot" : "";
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      wrong = BadInputException.reason(e);
    }
    if (!wrong.isEmpty()) {
      throw new BadInputException(
          "--out %s: expected a folder that can be written, found %s".formatted(folder, wrong));
    }
  }
}
