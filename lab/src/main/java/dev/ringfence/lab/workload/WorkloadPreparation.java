package dev.ringfence.lab.workload;

import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.guest.Compiler;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.Overlay;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.guest.UnknownPackageException;
import dev.ringfence.lab.workload.Workload.GuestFile;
import dev.ringfence.lab.workload.Workload.Reference;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.input.NearestNames;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Turns a workload into a guest. Programs and files become a folder of the cache that is laid over
 * the packages; its name is a digest of what is in it, so that equal workloads give equal archives
 * and a manifest can name it.
 */
public final class WorkloadPreparation {
  /** In every guest, for the marks of its command. */
  private static final String MARK_PROGRAM = "ringfence-mark.c";

  /** Where ringfence-mark looks up names of phases, one in each line. */
  private static final String PHASES = "/etc/ringfence-phases";

  private static final String PROGRAM_FOLDER = "/usr/local/bin/";

  /** Boots the inner guest, and what stands in the place of ringfence-mark within it. */
  private static final String INNER_BOOT = "inner-guest.sh";

  private static final String INNER_MARK = "inner-mark.sh";

  /** Where {@link #INNER_BOOT} looks for what it boots. */
  private static final String INNER_FOLDER = "/root/inner/";

  private static final long DEFAULT_MEMORY_BYTES = 512L << 20;

  /** What QEMU wants beside the memory of its guest. */
  private static final long QEMU_BYTES = 256L << 20;

  private final GuestCache cache;
  private final GuestPreparation preparation;
  private final Compiler compiler;
  private final Path shipped;

  /**
   * @param cache where what is made stays
   * @param preparation of the guest itself
   * @param progress told what takes time, one line each
   */
  public WorkloadPreparation(
      GuestCache cache, GuestPreparation preparation, Consumer<String> progress) {
    this.cache = cache;
    this.preparation = preparation;
    this.compiler = new Compiler(cache, progress);
    this.shipped = Path.of(System.getProperty("ringfence.root", "."), "guest", "workloads");
  }

  /**
   * Fetches, compiles and builds what is missing.
   *
   * @param kernel an image or a kernel's .deb; null for the one of the Debian release
   * @param append more for the command line of the kernel, after the workload's own
   * @param verbose whether the kernel's messages are to appear on the console
   * @throws BadInputException if a package, a program or a file is not there or not as it should be
   */
  public PreparedWorkload prepare(
      Workload workload, @Nullable Path kernel, String append, boolean verbose) {
    PreparedGuest inner =
        workload.innerGuest() == null ? null : innerGuest(workload, workload.innerGuest(), kernel);
    GuestRequest request =
        new GuestRequest(
            kernel,
            null,
            packages(workload, workload.packages()),
            List.of(overlay(workload, inner)),
            workload.modules().stream().map(Reference::name).toList(),
            workload.command(),
            (workload.append() + " " + append).strip(),
            null,
            verbose);
    PreparedGuest guest;
    try {
      guest = preparation.prepare(request);
    } catch (UnknownPackageException e) {
      throw unknownPackage(workload, e);
    }
    long innerMemory = inner == null ? 0 : inner.memoryNeeded() + QEMU_BYTES;
    return new PreparedWorkload(
        workload, request, guest, configuration(workload, guest, innerMemory));
  }

  private BadInputException unknownPackage(Workload workload, UnknownPackageException unknown) {
    Workload.InnerGuest inner = workload.innerGuest();
    int line =
        Stream.concat(
                workload.packages().stream(),
                inner == null ? Stream.empty() : inner.packages().stream())
            .filter(reference -> reference.name().equals(unknown.packageName()))
            .mapToInt(Reference::line)
            .findFirst()
            .orElse(1);
    return bad(
        workload,
        line,
        "a Debian package that apt knows",
        "'%s'%s; if the name is right, run apt-get update"
            .formatted(unknown.packageName(), unknown.hint()));
  }

  private List<String> packages(Workload workload, List<Reference> wanted) {
    List<String> names = new ArrayList<>();
    for (Reference reference : wanted) {
      if (reference.name().endsWith(".deb")) {
        names.add(existing(workload, reference.name(), reference.line()).toString());
      } else {
        names.add(reference.name());
      }
    }
    return names;
  }

  private MachineConfiguration configuration(
      Workload workload, PreparedGuest guest, long innerMemory) {
    long memory = workload.memoryBytes();
    if (memory == 0) {
      memory = Math.max(DEFAULT_MEMORY_BYTES, guest.memoryNeeded()) + innerMemory;
    } else if (memory < guest.memoryNeeded()) {
      throw new BadInputException(
          "%s: memory: expected at least %dM for an initramfs that unpacks to %d MiB, found %dM"
              .formatted(
                  workload.source(),
                  guest.memoryNeeded() >> 20,
                  guest.unpackedBytes() >> 20,
                  memory >> 20));
    }
    MachineConfiguration configuration = MachineConfiguration.of(memory, workload.processors());
    return workload.diskBytes() == 0
        ? configuration
        // What the guest writes stays in memory, so one file serves all runs.
        : configuration.withDisks(List.of(new Disk(cache.emptyDisk(workload.diskBytes()), false)));
  }

  /** The folder with programs and files. */
  private Path overlay(Workload workload, @Nullable PreparedGuest inner) {
    Map<String, Overlay.Entry> entries = new TreeMap<>();
    entries.put(
        PROGRAM_FOLDER + programName(MARK_PROGRAM),
        new Overlay.Entry(0755, read(compiler.compile(shipped.resolve(MARK_PROGRAM)))));
    if (!workload.phases().isEmpty()) {
      entries.put(
          PHASES,
          new Overlay.Entry(
              0644,
              (String.join("\n", workload.phases()) + "\n").getBytes(StandardCharsets.UTF_8)));
    }
    addPrograms(workload, workload.programs(), entries);
    addFiles(workload, workload.files(), entries);
    if (inner != null) {
      addInnerGuest(inner, entries);
    }
    return Overlay.folder(cache, entries);
  }

  /**
   * The guest within. It has no marks of its own, as KVM answers its CPUID; what stands in their
   * place asks the script that boots it.
   */
  private PreparedGuest innerGuest(
      Workload workload, Workload.InnerGuest inner, @Nullable Path kernel) {
    Map<String, Overlay.Entry> own = new TreeMap<>();
    own.put(
        PROGRAM_FOLDER + programName(MARK_PROGRAM),
        new Overlay.Entry(0755, read(shipped.resolve(INNER_MARK))));
    addPrograms(workload, inner.programs(), own);
    addFiles(workload, inner.files(), own);
    try {
      return preparation.prepare(
          new GuestRequest(
              kernel,
              null,
              packages(workload, inner.packages()),
              List.of(Overlay.folder(cache, own)),
              List.of(),
              inner.command(),
              inner.append(),
              null,
              false));
    } catch (UnknownPackageException e) {
      throw unknownPackage(workload, e);
    }
  }

  /** What {@code inner-guest} boots: kernel, initramfs, and what they are to be told. */
  private void addInnerGuest(PreparedGuest inner, Map<String, Overlay.Entry> entries) {
    Assignment assignment = Objects.requireNonNull(inner.assignment(), "it has a command");
    Map<String, byte[]> contents =
        Map.of(
            "vmlinuz", inner.image().file().bytes(),
            "initrd", inner.initrds().getFirst().bytes(),
            "command-line", inner.commandLine().getBytes(StandardCharsets.UTF_8),
            "assignment", assignment.toBytes(),
            "mebibytes",
                String.valueOf(inner.memoryNeeded() >> 20).getBytes(StandardCharsets.UTF_8));
    contents.forEach(
        (name, content) -> entries.put(INNER_FOLDER + name, new Overlay.Entry(0644, content)));
    entries.put(
        PROGRAM_FOLDER + "inner-guest", new Overlay.Entry(0755, read(shipped.resolve(INNER_BOOT))));
  }

  private void addPrograms(
      Workload workload, List<Reference> programs, Map<String, Overlay.Entry> entries) {
    for (Reference program : programs) {
      Path source = existing(workload, program.name(), program.line());
      add(
          workload,
          entries,
          PROGRAM_FOLDER + programName(source.getFileName().toString()),
          new Overlay.Entry(0755, read(compiler.compile(source))),
          program.line());
    }
  }

  private void addFiles(
      Workload workload, List<GuestFile> files, Map<String, Overlay.Entry> entries) {
    for (GuestFile file : files) {
      byte[] content =
          file.content() != null
              ? file.content().getBytes(StandardCharsets.UTF_8)
              : read(existing(workload, String.valueOf(file.source()), file.line()));
      add(workload, entries, file.path(), new Overlay.Entry(file.mode(), content), file.line());
    }
  }

  private static void add(
      Workload workload,
      Map<String, Overlay.Entry> entries,
      String path,
      Overlay.Entry entry,
      int line) {
    for (String other : entries.keySet()) {
      if (other.equals(path) || other.startsWith(path + "/") || path.startsWith(other + "/")) {
        throw bad(
            workload, line, "a file that no other one is in the way of", path + " beside " + other);
      }
    }
    entries.put(path, entry);
  }

  private static String programName(String source) {
    return source.substring(0, source.length() - ".c".length());
  }

  /** A file beside the YAML file or, if it is not there, among those that are shipped. */
  private Path existing(Workload workload, String name, int line) {
    List<Path> folders =
        workload.folder() == null ? List.of(shipped) : List.of(workload.folder(), shipped);
    try {
      for (Path folder : folders) {
        Path file = folder.resolve(name);
        if (Files.isRegularFile(file)) {
          return file;
        }
      }
    } catch (InvalidPathException e) {
      throw bad(workload, line, "a name of a file", e.getMessage());
    }
    throw bad(
        workload,
        line,
        "a file in " + String.join(" or ", folders.stream().map(Path::toString).toList()),
        "no '" + name + "'" + NearestNames.hint(name, namesIn(folders)));
  }

  private static List<String> namesIn(List<Path> folders) {
    List<String> names = new ArrayList<>();
    for (Path folder : folders) {
      try (Stream<Path> files = Files.list(folder)) {
        files.map(file -> file.getFileName().toString()).sorted().forEach(names::add);
      } catch (IOException e) {
        names.clear(); // Only a suggestion is lost.
      }
    }
    return names;
  }

  private static BadInputException bad(Workload workload, int line, String expected, String found) {
    return new BadInputException(
        "%s: line %d: expected %s, found %s".formatted(workload.source(), line, expected, found));
  }

  private static byte[] read(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw new BadInputException("%s: cannot be read: %s".formatted(file, e), e);
    }
  }
}
