package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Compiles C programs for the guest with the host's gcc. They are linked statically, so they need
 * nothing of the guest but its kernel. Results stay in the cache under a digest of compiler,
 * options, source and the headers that it may include, which are those beside it and those of
 * {@code guest/include}; equal inputs give equal bytes, because nothing of the host's paths and no
 * build identifier gets into the program.
 */
public final class Compiler {
  /** The file name goes in between; libraries come last, as the linker wants it. */
  private static final List<String> OPTIONS =
      List.of("-std=gnu11", "-O2", "-Wall", "-Wextra", "-static", "-s", "-Wl,--build-id=none");

  private static final List<String> LIBRARIES = List.of("-pthread");

  /** Headers for programs of any folder. */
  private static final Path HEADERS =
      Path.of(System.getProperty("ringfence.root", "."), "guest", "include").toAbsolutePath();

  private static final long MOST_MINUTES = 5;

  private final GuestCache cache;
  private final Consumer<String> progress;
  private @Nullable String version;

  /**
   * @param progress told what takes time, one line each
   */
  public Compiler(GuestCache cache, Consumer<String> progress) {
    this.cache = cache;
    this.progress = progress;
  }

  /**
   * The program of a source file, compiled unless it is in the cache.
   *
   * @throws BadInputException if there is no gcc, or it does not accept the source
   */
  public Path compile(Path source) {
    return compile(source, List.of());
  }

  /**
   * The same with more options for gcc, which win over those that all programs have.
   *
   * @throws BadInputException if there is no gcc, or it does not accept source and options
   */
  public Path compile(Path source, List<String> options) {
    Path absolute = source.toAbsolutePath();
    Path file = cache.programs().resolve(digest(absolute, options));
    if (Files.exists(file)) {
      return file;
    }
    progress.accept("compiling " + source.getFileName());
    Path temporary = cache.temporaryFile(".program");
    List<String> command = new ArrayList<>(List.of("gcc"));
    command.addAll(OPTIONS);
    command.addAll(options);
    command.addAll(List.of("-I", HEADERS.toString(), "-ffile-prefix-map=" + HEADERS + "=include"));
    command.addAll(List.of("-o", temporary.toString()));
    // By its plain name, because a path would end up in the program.
    command.add(absolute.getFileName().toString());
    command.addAll(LIBRARIES);
    run(command, absolute.getParent(), source.toString());
    try {
      Files.move(
          temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected room for a program in the cache, found: %s".formatted(file, e), e);
    }
    return file;
  }

  private String digest(Path source, List<String> options) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      update(digest, version());
      update(
          digest,
          String.join(" ", OPTIONS)
              + " "
              + String.join(" ", options)
              + String.join(" ", LIBRARIES));
      digest.update(Files.readAllBytes(source));
      updateWithHeaders(digest, source.getParent());
      updateWithHeaders(digest, HEADERS);
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    } catch (IOException e) {
      throw new BadInputException("%s: cannot be read: %s".formatted(source, e), e);
    }
  }

  private static void updateWithHeaders(MessageDigest digest, Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path header : files.filter(path -> path.toString().endsWith(".h")).sorted().toList()) {
        update(digest, header.getFileName().toString());
        digest.update(Files.readAllBytes(header));
      }
    }
  }

  private static void update(MessageDigest digest, String text) {
    digest.update(text.getBytes(StandardCharsets.UTF_8));
    digest.update((byte) 0);
  }

  private String version() {
    if (version == null) {
      version = run(List.of("gcc", "--version"), Path.of("."), "C programs of guests");
    }
    return version;
  }

  /** Runs gcc; returns what it printed. */
  private String run(List<String> command, Path folder, String what) {
    Path log = cache.temporaryFile(".log");
    try {
      Process process =
          new ProcessBuilder(command)
              .directory(folder.toFile())
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
      process.getOutputStream().close();
      boolean ended = process.waitFor(MOST_MINUTES, TimeUnit.MINUTES);
      if (!ended) {
        process.destroyForcibly();
        throw new BadInputException(
            "%s: expected gcc to end within %d minutes, found it running"
                .formatted(what, MOST_MINUTES));
      }
      String output = new String(Files.readAllBytes(log), StandardCharsets.ISO_8859_1);
      if (process.exitValue() != 0) {
        throw new BadInputException(
            "%s: expected C that gcc compiles and links statically, found: %s"
                .formatted(what, firstError(output)));
      }
      return output;
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected gcc on the PATH, found none that can be run; install gcc and the static C library (Debian's packages gcc and libc6-dev)"
              .formatted(what),
          e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new BadInputException(what + ": compilation was interrupted", e);
    } finally {
      // A leftover of some bytes in the folder of temporary files harms nobody.
      log.toFile().delete();
    }
  }

  private static String firstError(String output) {
    return output
        .lines()
        .filter(line -> line.contains("error:") || line.contains("undefined reference"))
        .findFirst()
        .or(() -> output.lines().filter(line -> line.contains("cannot find")).findFirst())
        .or(() -> output.lines().findFirst())
        .orElse("no message");
  }
}
