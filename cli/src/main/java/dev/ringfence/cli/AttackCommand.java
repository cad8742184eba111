package dev.ringfence.cli;

import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.attack.AttackCatalog;
import dev.ringfence.lab.attack.AttackedProcessor;
import dev.ringfence.lab.attack.Mitigation;
import dev.ringfence.lab.attack.MitigationCatalog;
import dev.ringfence.lab.result.AttackResult;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.report.LeakText;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
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
      "  ringfence attack --from guest --mitigation none,linux-default,kvm-l1d-flush-always",
      "",
      "Attacks, mitigations and the format of attack.json: docs/attacks.md.",
      "Exit status 4 if a cell of the matrix is not what is published, 130 on Ctrl-C: cells that are",
      "done are in attack.json then."
    })
final class AttackCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      paramLabel = "NAME",
      arity = "0..*",
      description = "Attacks. Default: all from there.")
  private List<String> names = new ArrayList<>();

  @Option(
      names = "--from",
      paramLabel = "PLACE",
      description = {
        "What the attacker is: user, a process without privileges; guest, a tenant with a virtual",
        "machine. Default: user."
      })
  private Attack.From from = Attack.From.USER;

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

  @Mixin private KernelOptions kernelOptions = new KernelOptions();

  @Mixin private OutputOption outputOption = new OutputOption();

  @Mixin private FreshOption freshOption = new FreshOption();

  @Override
  public Integer call() {
    List<Attack> attacks = AttackCatalog.shipped().choose(names, from);
    List<Mitigation> columns = MitigationCatalog.shipped().choose(mitigations);
    List<String> models =
        cpuModels.isEmpty() ? List.of(MachineConfiguration.DEFAULT_CPU_MODEL) : cpuModels;
    models.forEach(AttackedProcessor::of);
    Path out = outputOption.folder("attack");
    long chosen = seed == null ? new SecureRandom().nextInt(1, Integer.MAX_VALUE) : seed;
    say("seed " + chosen);
    MatrixRunner runner =
        new MatrixRunner(
            kernelOptions, from, freshOption.fresh(), spec.commandLine().getErr(), this::say);
    List<LeakMatrix> matrices = new ArrayList<>();
    try (InterruptHook _ = new InterruptHook(runner::interrupt)) {
      for (String model : models) {
        if (!runner.isInterrupted()) {
          LeakMatrix matrix = runner.run(model, chosen, attacks, columns);
          show(matrix);
          matrices.add(matrix);
        }
      }
      AttackResult result =
          new AttackResult(
              AttackResult.FORMAT,
              List.of("ringfence " + Ringfence.Version.RINGFENCE, "Java " + Runtime.version()),
              chosen,
              runner.guest().guest().image().file().baseName(),
              matrices);
      ResultFile.write(result, out.resolve(AttackResult.NAME));
    }
    PrintWriter terminal = spec.commandLine().getOut();
    terminal.println("Evidence: " + out.resolve(AttackResult.NAME));
    terminal.flush();
    if (runner.isInterrupted()) {
      say("the result is partial: interrupted");
      return ExitStatus.INTERRUPTED;
    }
    boolean agree =
        matrices.stream()
            .flatMap(matrix -> matrix.cells().stream())
            .allMatch(LeakMatrix.Cell::agrees);
    return agree ? ExitStatus.OK : ExitStatus.UNEXPECTED;
  }

  private void show(LeakMatrix matrix) {
    PrintWriter terminal = spec.commandLine().getOut();
    LeakText.lines(matrix).forEach(terminal::println);
    terminal.println();
    terminal.flush();
  }

  private void say(String line) {
    PrintWriter err = spec.commandLine().getErr();
    err.println("ringfence: " + line);
    err.flush();
  }
}
