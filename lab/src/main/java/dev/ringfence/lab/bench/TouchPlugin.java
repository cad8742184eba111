package dev.ringfence.lab.bench;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Builds the plugin that makes QEMU note which pages a kernel touches. */
public final class TouchPlugin {
  private static final Pattern VERSION = Pattern.compile("version (\\d{1,4})\\.");

  /** QEMU 9.0 is the first that loads no plugin of an interface below version 2. */
  private static final int FIRST_WITH_VERSION_2 = 9;

  private TouchPlugin() {}

  /**
   * Compiles bench/reference/touch.c with the system's C compiler.
   *
   * @return the shared object, for the time of this process
   * @throws BadInputException if there is no compiler, or it does not take the source
   */
  public static Path build(Path root, GuestCache cache) throws InterruptedException {
    Path plugin = cache.temporaryFile(".so");
    Path source = root.resolve("bench/reference/touch.c");
    Matcher version = VERSION.matcher(run(cache, List.of("qemu-system-x86_64", "--version")));
    boolean second = version.find() && Integer.parseInt(version.group(1)) >= FIRST_WITH_VERSION_2;
    run(
        cache,
        List.of(
            "cc",
            "-O2",
            "-shared",
            "-fPIC",
            "-DAPI_VERSION=" + (second ? 2 : 1),
            "-o",
            plugin.toString(),
            source.toString()));
    return plugin;
  }

  private static String run(GuestCache cache, List<String> command) throws InterruptedException {
    Path log = cache.temporaryFile(".log");
    String program = command.getFirst();
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
      int status = process.waitFor();
      String output = Files.readString(log, StandardCharsets.ISO_8859_1);
      if (status != 0) {
        throw new BadInputException(
            "%s: expected status 0, found %d: %s".formatted(program, status, output.strip()));
      }
      return output;
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected a program on the PATH, found none that runs; install it, or give --touch-plugin a built one: %s"
              .formatted(program, e.getMessage()),
          e);
    }
  }
}
