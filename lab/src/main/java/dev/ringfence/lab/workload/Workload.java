package dev.ringfence.lab.workload;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import dev.ringfence.machine.input.YamlNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a guest does while it is measured, and the guest that it needs; read from a YAML file that
 * docs/workloads.md describes.
 *
 * @param source name of the YAML file, for messages
 * @param folder of the YAML file, for what it refers to; null for a workload that is shipped
 * @param name letters, digits and hyphens
 * @param title one line about it
 * @param description for the reader of a report
 * @param packages Debian packages by name, or .deb files
 * @param modules of the kernel, loaded at boot with all that they depend on
 * @param programs C sources, each a program of one file
 * @param files that are laid over the packages
 * @param innerGuest a guest of the guest's own, which {@code inner-guest} boots; null if it has
 *     none
 * @param command what the guest's shell runs: set-up, warm-up, and between marks what is measured
 * @param phases names of the parts of the region of interest that are counted apart
 * @param append more for the command line of the kernel
 * @param memoryBytes RAM; 0 for what the guest needs
 * @param processors of the machine
 * @param diskBytes size of an empty virtio disk, {@code /dev/vda}; 0 for none
 * @param maximumInstructions from power-on, at which a guest is taken to be in an endless loop
 */
public record Workload(
    String source,
    @Nullable Path folder,
    String name,
    String title,
    String description,
    List<Reference> packages,
    List<Reference> modules,
    List<Reference> programs,
    List<GuestFile> files,
    @Nullable InnerGuest innerGuest,
    String command,
    List<String> phases,
    String append,
    long memoryBytes,
    int processors,
    long diskBytes,
    long maximumInstructions) {

  /** Where a file gives no limit: several times what the longest shipped workload takes. */
  public static final long DEFAULT_MAXIMUM_INSTRUCTIONS = 20_000_000_000L;

  /** A workload is text that a person writes. */
  private static final long MAXIMUM_FILE_BYTES = 1 << 20;

  private static final String SUFFIX = ".yaml";

  private static final List<String> BUILT_IN =
      List.of(
          "mixed",
          "syscalls",
          "fio-read",
          "fio-tmpfs-randread",
          "redis",
          "compile",
          "nginx",
          "vm-exits",
          "two-tenants",
          "two-tenants-apart",
          "vm-boot",
          "vm-redis",
          "vm-fio");

  /**
   * A name in the file that is looked up later.
   *
   * @param line where it stands
   */
  public record Reference(String name, int line) {}

  /**
   * A file in the guest: either its content or where that comes from.
   *
   * @param path in the guest, absolute
   * @param mode permissions
   * @param content null if there is a source
   * @param source file on the host, relative to the YAML file; null if there is content
   * @param line of the entry
   */
  public record GuestFile(
      String path, int mode, @Nullable String content, @Nullable String source, int line) {}

  /**
   * A guest within the guest: the same kernel, with a root file system of its own.
   *
   * @param packages Debian packages by name, or .deb files
   * @param programs C sources, each a program of one file
   * @param files that are laid over the packages
   * @param command what its shell runs
   * @param append more for the command line of its kernel
   */
  public record InnerGuest(
      List<Reference> packages,
      List<Reference> programs,
      List<GuestFile> files,
      String command,
      String append) {
    public InnerGuest {
      packages = List.copyOf(packages);
      programs = List.copyOf(programs);
      files = List.copyOf(files);
    }
  }

  public Workload {
    packages = List.copyOf(packages);
    modules = List.copyOf(modules);
    programs = List.copyOf(programs);
    files = List.copyOf(files);
    phases = List.copyOf(phases);
  }

  /** Names of the workloads that are shipped; the first one is the default. */
  public static List<String> builtIn() {
    return BUILT_IN;
  }

  /**
   * Reads a workload.
   *
   * @param nameOrFile name of a shipped one, or a YAML file of the user's
   * @throws BadInputException if there is none or something in it is not as it should be
   */
  public static Workload load(String nameOrFile) {
    if (BUILT_IN.contains(nameOrFile)) {
      return WorkloadReader.read(resource(nameOrFile + SUFFIX), nameOrFile + SUFFIX, null);
    }
    Path file = file(nameOrFile);
    if (file == null) {
      throw new BadInputException(
          "workload %s: expected a YAML file or one of %s, found neither%s"
              .formatted(
                  nameOrFile,
                  String.join(", ", BUILT_IN),
                  NearestNames.hint(nameOrFile, BUILT_IN)));
    }
    try {
      if (Files.size(file) > MAXIMUM_FILE_BYTES) {
        throw new BadInputException(
            "%s: expected a workload of at most %d bytes, found %d"
                .formatted(file, MAXIMUM_FILE_BYTES, Files.size(file)));
      }
      Path folder = file.toAbsolutePath().getParent();
      String text = YamlNode.decode(Files.readAllBytes(file), nameOrFile);
      return WorkloadReader.read(text, nameOrFile, folder);
    } catch (IOException e) {
      throw new BadInputException("%s: cannot be read: %s".formatted(file, e), e);
    }
  }

  /** The file of that name, or null if there is none. */
  private static @Nullable Path file(String name) {
    try {
      Path file = Path.of(name);
      return Files.isRegularFile(file) ? file : null;
    } catch (InvalidPathException e) {
      return null;
    }
  }

  /** Reads a workload from text; files that it refers to are looked for in a folder. */
  public static Workload parse(String text, String source, @Nullable Path folder) {
    return WorkloadReader.read(text, source, folder);
  }

  private static String resource(String name) {
    try (InputStream in = Workload.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IllegalStateException("resource " + name + " is missing");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
