package dev.ringfence.lab.attack;

import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.guest.Compiler;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.Overlay;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Makes the guest in which attacks run: one archive with all their programs, so that all attacks
 * under one command line of the kernel start from the same boot.
 */
public final class AttackPreparation {
  private static final String PROGRAM_FOLDER = "/usr/local/bin/";

  /** The kernel's module for virtual machines; the processor models that have them are Intel's. */
  private static final String HYPERVISOR = "kvm_intel";

  /** In the guest for its mark. */
  private static final String MARK_PROGRAM = "ringfence-mark.c";

  private final GuestCache cache;
  private final GuestPreparation preparation;
  private final Consumer<String> progress;
  private final Path sources;
  private final Function<String, List<String>> options;
  private final Path marks;

  /**
   * Takes the programs from {@code guest/attacks}.
   *
   * @param cache where what is made stays
   * @param preparation of the guest itself
   * @param progress told what takes time, one line each
   */
  public AttackPreparation(
      GuestCache cache, GuestPreparation preparation, Consumer<String> progress) {
    this(cache, preparation, progress, shipped("attacks"), program -> List.of());
  }

  /**
   * Takes the programs from a folder.
   *
   * @param sources with C sources and their headers
   * @param options more options for the compiler, by name of the source
   */
  AttackPreparation(
      GuestCache cache,
      GuestPreparation preparation,
      Consumer<String> progress,
      Path sources,
      Function<String, List<String>> options) {
    this.cache = cache;
    this.preparation = preparation;
    this.progress = progress;
    this.sources = sources;
    this.options = options;
    this.marks = shipped("workloads");
  }

  static Path shipped(String folder) {
    return Path.of(System.getProperty("ringfence.root", "."), "guest", folder);
  }

  /**
   * A guest that has the programs of all attacks.
   *
   * @param guest without a command line for a mitigation, and without an assignment
   * @param request that it was prepared from
   */
  public record AttackGuest(PreparedGuest guest, GuestRequest request) {
    /** The guest on which the kernel's command line has more words, with a command. */
    PreparedGuest with(String words, String command) {
      return new PreparedGuest(
          guest.image(),
          guest.initrds(),
          (guest.commandLine() + " " + words).strip(),
          new Assignment(command, null),
          guest.unpackedBytes());
    }

    /** What one would have asked for to get that guest. */
    GuestRequest requestWith(String words, String command) {
      return new GuestRequest(
          request.kernel(),
          request.initrd(),
          request.packages(),
          request.overlays(),
          request.modules(),
          command,
          (request.append() + " " + words).strip(),
          null,
          false);
    }
  }

  /**
   * Fetches, compiles and builds what is missing.
   *
   * @param catalog whose programs belong to the guest: all of them, so that one boot serves all
   *     choices of attacks
   * @param from where the attacks come from; for those from virtual machines the guest has KVM
   * @param kernel an image or a kernel's .deb; null for the one of the Debian release
   * @param append more for the command line of the kernel
   * @throws BadInputException if a program is not there or does not compile
   */
  public AttackGuest prepare(
      AttackCatalog catalog, Attack.From from, @Nullable Path kernel, String append) {
    Set<String> programs = new TreeSet<>(catalog.programs());
    catalog.attacks().forEach(attack -> programs.add(attack.program()));
    Compiler compiler = new Compiler(cache, progress);
    Map<String, Overlay.Entry> entries = new TreeMap<>();
    add(entries, compiler.compile(marks.resolve(MARK_PROGRAM)), MARK_PROGRAM);
    for (String program : programs) {
      Path source = sources.resolve(program);
      if (!Files.isRegularFile(source)) {
        throw new BadInputException(
            "%s: expected the C source of an attack or of a program that sets one up, found none"
                .formatted(source));
      }
      add(entries, compiler.compile(source, options.apply(program)), program);
    }
    // Without a command, so that equal guests have equal names of snapshots.
    GuestRequest request =
        new GuestRequest(
            kernel,
            null,
            List.of(),
            List.of(Overlay.folder(cache, entries)),
            from == Attack.From.GUEST ? List.of(HYPERVISOR) : List.of(),
            null,
            append,
            null,
            false);
    return new AttackGuest(preparation.prepare(request), request);
  }

  private static void add(Map<String, Overlay.Entry> entries, Path program, String source) {
    String name = source.substring(0, source.length() - ".c".length());
    try {
      entries.put(PROGRAM_FOLDER + name, new Overlay.Entry(0755, Files.readAllBytes(program)));
    } catch (IOException e) {
      throw new BadInputException("%s: cannot be read: %s".formatted(program, e), e);
    }
  }
}
