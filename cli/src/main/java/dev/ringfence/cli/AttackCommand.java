package dev.ringfence.cli;

import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.attack.AttackCatalog;
import dev.ringfence.lab.attack.AttackMatrix;
import dev.ringfence.lab.attack.AttackPreparation;
import dev.ringfence.lab.attack.Mitigation;
import dev.ringfence.lab.attack.MitigationCatalog;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.AttackResult;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.report.LeakText;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Attacks against mitigations: the leak matrix. */
@Command(
    name = "attack",
    mixinStandardHelpOptions = true,
    description = {
      "Runs attacks on processors that leak as real ones do, under the kernel's own mitigations",
      "and under policies of address space isolation, and prints which secrets came out."
    },
    footer = {
      "",
      "Examples:",
      "  ringfence attack meltdown --mitigation none,linux-kpti,google-2025",
      "  ringfence attack --cpu skylake-server,zen4 --mitigation none,linux-default",
      "",
      "Attacks, mitigations and the format of attack.json: docs/attacks.md.",
      "Exit status 4 if a cell of the matrix is not what is published."
    })
final class AttackCommand implements Callable<Integer> {
  /** RAM of the guest in bytes: kernel and attack programs, and little to snapshot. */
  static final long MEMORY = 128L << 20;

  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "NAME", arity = "0..*", description = "Attacks. Default: all.")
  private List<String> names = new ArrayList<>();

  @Option(
      names = "--cpu",
      paramLabel = "MODEL",
      split = ",",
      description = "Processor models. Default: " + MachineConfiguration.DEFAULT_CPU_MODEL + ".")
  private List<String> cpuModels = new ArrayList<>();

  @Option(
      names = "--mitigation",
      paramLabel = "M",
      split = ",",
      description = {
        "Mitigations, policies, or several joined by +. Default: all, each policy also with each",
        "of its flushes left out."
      })
  private List<String> mitigations = new ArrayList<>();

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "What the secrets follow from. Default: a random one, which is printed.")
  private @Nullable Long seed;

  @Option(
      names = "--kernel",
      paramLabel = "FILE",
      description = "Linux bzImage or kernel .deb. Default: as for 'run'.")
  private @Nullable Path kernel;

  @Option(
      names = "--append",
      paramLabel = "TEXT",
      defaultValue = "",
      description = "More for the command line of the kernel.")
  private String append = "";

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description = "Where attack.json goes. Default: runs/attack.")
  private Path out = Path.of("runs", "attack");

  @Mixin private FreshOption freshOption = new FreshOption();

  @Override
  public Integer call() {
    AttackCatalog catalog = AttackCatalog.shipped();
    List<Attack> attacks = catalog.choose(names);
    List<Mitigation> columns = MitigationCatalog.shipped().choose(mitigations);
    List<String> models =
        cpuModels.isEmpty() ? List.of(MachineConfiguration.DEFAULT_CPU_MODEL) : cpuModels;
    models.forEach(CpuModel::load);
    checkFolder();
    long chosen = seed == null ? new SecureRandom().nextInt(1, Integer.MAX_VALUE) : seed;
    say("seed " + chosen);
    GuestCache cache = GuestCache.ofUser();
    AttackPreparation.AttackGuest guest =
        new AttackPreparation(cache, new GuestPreparation(cache, this::say), this::say)
            .prepare(catalog, kernel, append);
    BootSnapshots snapshots =
        new BootSnapshots(cache, freshOption.fresh(), Ringfence.Version.RINGFENCE, line -> {});
    List<LeakMatrix> matrices = new ArrayList<>();
    for (String model : models) {
      matrices.add(matrix(model, guest, snapshots, chosen, attacks, columns));
    }
    AttackResult result =
        new AttackResult(
            AttackResult.FORMAT,
            List.of("ringfence " + Ringfence.Version.RINGFENCE, "Java " + Runtime.version()),
            chosen,
            guest.guest().image().file().baseName(),
            matrices);
    ResultFile.write(result, out.resolve(AttackResult.NAME));
    PrintWriter terminal = spec.commandLine().getOut();
    terminal.println("Evidence: " + out.resolve(AttackResult.NAME));
    terminal.flush();
    boolean agree =
        matrices.stream()
            .flatMap(matrix -> matrix.cells().stream())
            .allMatch(LeakMatrix.Cell::agrees);
    return agree ? ExitStatus.OK : ExitStatus.UNEXPECTED;
  }

  private LeakMatrix matrix(
      String model,
      AttackPreparation.AttackGuest guest,
      BootSnapshots snapshots,
      long chosen,
      List<Attack> attacks,
      List<Mitigation> columns) {
    AttackProgress progress = new AttackProgress(spec.commandLine().getErr(), model);
    MachineConfiguration configuration =
        MachineConfiguration.of(Math.max(MEMORY, guest.guest().memoryNeeded()), 1)
            .withCpuModel(model);
    long start = System.nanoTime();
    LeakMatrix matrix =
        new AttackMatrix(guest, configuration, snapshots, chosen, progress)
            .execute(attacks, columns);
    progress.clear();
    PrintWriter terminal = spec.commandLine().getOut();
    LeakText.lines(matrix).forEach(terminal::println);
    terminal.println();
    terminal.flush();
    say(
        String.format(
            Locale.ROOT,
            "%s: %d cells in %.0f s",
            model,
            matrix.cells().size(),
            (System.nanoTime() - start) / 1e9));
    return matrix;
  }

  private void checkFolder() {
    try {
      Files.createDirectories(out);
    } catch (IOException e) {
      throw new BadInputException(
          "--out %s: expected a folder that can be written, found %s"
              .formatted(out, BadInputException.reason(e)),
          e);
    }
  }

  private void say(String line) {
    PrintWriter err = spec.commandLine().getErr();
    err.println("ringfence: " + line);
    err.flush();
  }
}
