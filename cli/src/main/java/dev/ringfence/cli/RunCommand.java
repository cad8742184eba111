package dev.ringfence.cli;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.experiment.Experiment;
import dev.ringfence.lab.experiment.IsolationRun;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.profile.GuestProfile;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.workload.PreparedWorkload;
import dev.ringfence.lab.workload.Workload;
import dev.ringfence.lab.workload.WorkloadPreparation;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.report.HtmlReport;
import dev.ringfence.report.TextReport;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.file.Path;
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

/** The main job: a workload under policies of isolation, and what it costs and exposes. */
@Command(
    name = "run",
    mixinStandardHelpOptions = true,
    description = {
      "Runs a workload on a stock kernel under policies of address space isolation,",
      "and tells what each costs, which kernel code and data cause it, and what stays exposed."
    },
    footer = {
      "",
      "Examples:",
      "  ringfence run",
      "  ringfence run fio-read --policy google-2025,google-2025-mermap",
      "  ringfence run syscalls --policy my.yaml --policy kpti --audit",
      "  ringfence run --kernel vmlinuz --initrd initrd.gz",
      "",
      "Workloads: docs/workloads.md. Policies: docs/policies.md."
    })
final class RunCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(
      index = "0",
      arity = "0..1",
      paramLabel = "WORKLOAD",
      description = "A shipped workload or a YAML file. Default: mixed.")
  private @Nullable String workloadName;

  @Option(
      names = "--policy",
      paramLabel = "P",
      split = ",",
      description = "Built-in policies or YAML files. Default: all that are built in.")
  private List<String> policies = new ArrayList<>();

  @Mixin private MachineOptions machineOptions = new MachineOptions();

  @Option(
      names = "--costs",
      paramLabel = "MODEL",
      description = "Costs of another processor model, or a YAML file. Default: those of --cpu.")
  private @Nullable String costs;

  @Mixin private OutputOption outputOption = new OutputOption();

  @Option(names = "--audit", description = "Walk every restricted table at every enter.")
  private boolean audit;

  @Option(
      names = "--guest-mitigations",
      description = "Leave the kernel's own mitigations on. Default: mitigations=off nopti.")
  private boolean guestMitigations;

  @Option(
      names = "--no-attacks",
      description = {
        "Leave out the attacks. Default: one of each kind that leaks on the processor model,",
        "under no mitigation, the kernel's choice and each policy of the run."
      })
  private boolean withoutAttacks;

  @Mixin private FreshOption freshOption = new FreshOption();

  @Mixin private ProfileOption profileOption = new ProfileOption();

  @Option(names = "--verbose", description = "Show the guest's console and output.")
  private boolean verbose;

  @Override
  public Integer call() throws IOException {
    // All input is checked before anything takes time.
    List<Policy> chosen = new ArrayList<>();
    for (String name : policies.isEmpty() ? Policy.builtIn() : policies) {
      chosen.add(Policy.load(name));
    }
    outputOption.check();
    CpuModel processor = CpuModel.load(machineOptions.cpuModel());
    CostModel model = CostModel.load(costs == null ? processor.name() : costs);
    GuestCache cache = GuestCache.ofUser();
    GuestPreparation preparation = new GuestPreparation(cache, this::say);
    Experiment experiment =
        machineOptions.initrd() == null
            ? ofWorkload(cache, preparation, chosen, model)
            : ofInitramfs(preparation, chosen, model);
    return run(experiment, outputOption.folder(experiment.name()));
  }

  private Experiment ofWorkload(
      GuestCache cache, GuestPreparation preparation, List<Policy> chosen, CostModel model) {
    Workload workload =
        Workload.load(workloadName == null ? Workload.builtIn().getFirst() : workloadName);
    say("preparing workload " + workload.name());
    PreparedWorkload prepared =
        new WorkloadPreparation(cache, preparation, this::say)
            .prepare(workload, machineOptions.kernel(), commandLine(), false);
    return new Experiment(
        workload.name(),
        workload.description(),
        prepared.guest(),
        prepared.request(),
        machineOptions.applyTo(prepared.configuration()),
        workload.phases(),
        false,
        workload.maximumInstructions(),
        chosen,
        model,
        audit,
        guestMitigations);
  }

  private Experiment ofInitramfs(
      GuestPreparation preparation, List<Policy> chosen, CostModel model) {
    if (workloadName != null) {
      throw new BadInputException(
          "--initrd: expected no workload beside it, because the initramfs is the workload, found "
              + workloadName);
    }
    GuestRequest request =
        new GuestRequest(
            machineOptions.kernel(),
            machineOptions.initrd(),
            List.of(),
            List.of(),
            null,
            commandLine(),
            null,
            false);
    PreparedGuest guest = preparation.prepare(request);
    String name = String.valueOf(Path.of(String.valueOf(machineOptions.initrd())).getFileName());
    return new Experiment(
        name.replaceAll("[^A-Za-z0-9.-]", "-"),
        "The initramfs " + name + ", from its first process to power-off.",
        guest,
        request,
        machineOptions.applyTo(MachineConfiguration.of(MachineOptions.DEFAULT_MEMORY, 1)),
        List.of(),
        true,
        Workload.DEFAULT_MAXIMUM_INSTRUCTIONS,
        chosen,
        model,
        audit,
        guestMitigations);
  }

  private String commandLine() {
    String mitigations = guestMitigations ? "" : Experiment.WITHOUT_MITIGATIONS + " ";
    return (mitigations + machineOptions.append()).strip();
  }

  private int run(Experiment experiment, Path out) {
    RunProgress progress = new RunProgress(spec.commandLine().getErr());
    OutputStream nowhere = OutputStream.nullOutputStream();
    OutputStream err = new BufferedOutputStream(new FileOutputStream(FileDescriptor.err), 1 << 13);
    IsolationRun run =
        new IsolationRun(
            experiment,
            verbose ? err : nowhere,
            verbose ? err : nowhere,
            progress::show,
            new BootSnapshots(
                GuestCache.ofUser(), freshOption.fresh(), Ringfence.Version.RINGFENCE, this::say));
    run.setProfiling(profileOption.profile());
    MatrixRunner runner =
        new MatrixRunner(
            machineOptions.kernelOptions(),
            Attack.From.USER,
            freshOption.fresh(),
            spec.commandLine().getErr(),
            this::say);
    RunAttacks attacks = new RunAttacks(machineOptions, runner, this::say);
    try (InterruptHook _ =
        new InterruptHook(() -> {
          run.interrupt();
          runner.interrupt();
        })) {
      long start = System.nanoTime();
      IsolationRun.Outcome outcome = run.execute(Ringfence.Version.RINGFENCE);
      progress.clear();
      double seconds = (System.nanoTime() - start) / 1e9;
      boolean complete = outcome.result().state().equals("complete");
      LeakMatrix leaks =
          withoutAttacks
              ? LeakMatrix.leftOut(machineOptions.cpuModel(), "left out by --no-attacks")
              : complete
                  ? attacks.execute(experiment.policies())
                  : LeakMatrix.leftOut(
                      machineOptions.cpuModel(), "the workload did not come to its end");
      show(outcome.result().with(leaks), out, seconds);
      if (outcome.profile() != null) {
        outcome.profile().lines().forEach(spec.commandLine().getErr()::println);
        spec.commandLine().getErr().flush();
        outcome.profile().writeTo(out.resolve(GuestProfile.NAME));
      }
      if (outcome.trouble() != null) {
        throw outcome.trouble();
      }
      return outcome.result().state().equals("complete") ? ExitStatus.OK : incomplete(outcome);
    } finally {
      progress.clear();
    }
  }

  private int incomplete(IsolationRun.Outcome outcome) {
    say("the result is partial: " + outcome.result().reason());
    return outcome.result().reason().equals(IsolationRun.INTERRUPTED)
        ? ExitStatus.INTERRUPTED
        : ExitStatus.GUEST_TROUBLE;
  }

  /** First on the terminal, so that a full disk loses nothing that was counted. */
  private void show(RunResult result, Path out, double seconds) {
    PrintWriter terminal = spec.commandLine().getOut();
    TextReport.lines(result).forEach(terminal::println);
    terminal.flush();
    write(
        "the tables above are all that is kept of the run",
        () -> ResultFile.write(result, out.resolve(ResultFile.NAME)));
    write(
        "all counts are in " + out.resolve(ResultFile.NAME),
        () -> HtmlReport.write(result, out.resolve(HtmlReport.NAME)));
    terminal.println();
    terminal.println("Report: " + out.resolve(HtmlReport.NAME));
    terminal.println("Counts: " + out.resolve(ResultFile.NAME));
    terminal.println("A cause in full: ringfence explain %s --policy P --cause N".formatted(out));
    terminal.flush();
    say(
        String.format(
            Locale.ROOT,
            "%,d instructions in %.0f s%s",
            result.manifest().result() == null ? 0 : result.manifest().result().instructions(),
            seconds,
            result.manifest().bootSnapshot() == null ? "" : ", the boot from a snapshot"));
  }

  /**
   * Writes a file of the result.
   *
   * @param kept what there is of the run if that fails
   */
  private static void write(String kept, Runnable writing) {
    try {
      writing.run();
    } catch (BadInputException e) {
      throw new BadInputException(
          "%s; %s. Make room, or choose another folder with --out".formatted(e.getMessage(), kept),
          e);
    }
  }

  private void say(String line) {
    PrintWriter err = spec.commandLine().getErr();
    err.println("ringfence: " + line);
    err.flush();
  }
}
