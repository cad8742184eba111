package dev.ringfence.cli;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.bench.Figure;
import dev.ringfence.lab.bench.ReferenceFigures;
import dev.ringfence.lab.bench.ReferenceJob;
import dev.ringfence.lab.bench.ReferenceJob.Timing;
import dev.ringfence.lab.bench.TouchPlugin;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.machine.BadInputException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Times whole jobs. */
@Command(
    name = "bench",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    description = "Times whole jobs, and compares with other emulators.",
    subcommands = {BenchCommand.Reference.class, BenchCommand.Job.class})
final class BenchCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getOut());
  }

  /** The job in bench/reference. */
  @Command(
      name = "reference",
      mixinStandardHelpOptions = true,
      description = "Boots Debian's kernel and does a fixed piece of work: here and on QEMU's TCG.")
  static final class Reference implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Option(names = "--no-qemu", description = "Do not run QEMU, even where it is installed.")
    private boolean withoutQemu;

    @Option(
        names = "--policy",
        paramLabel = "P",
        split = ",",
        description = "Run it under these policies too, all at once, and compare.")
    private List<String> policies = new ArrayList<>();

    @Option(names = "--simple", description = "One run of each in this process, and speeds only.")
    private boolean simple;

    @Option(
        names = "--figure",
        paramLabel = "F",
        split = ",",
        description = "Only these figures, by letters from a to e. Default: all.")
    private List<String> chosen = new ArrayList<>();

    @Option(
        names = "--pairs",
        paramLabel = "N",
        defaultValue = "1",
        description = "Pairs of runs; a ratio is the median. Default: ${DEFAULT-VALUE}.")
    private int pairs = 1;

    @Option(names = "--json", paramLabel = "FILE", description = "Write figures and runs as JSON.")
    private @Nullable Path json;

    @Option(
        names = "--touch-plugin",
        paramLabel = "FILE",
        description = "A built plugin for figure a. Default: bench/reference/touch.c, by cc.")
    private @Nullable Path touchPlugin;

    @Override
    public Integer call() throws InterruptedException {
      return simple || !policies.isEmpty() ? simple() : figures();
    }

    private int figures() throws InterruptedException {
      PrintWriter out = spec.commandLine().getOut();
      Consumer<String> progress =
          line -> {
            spec.commandLine().getErr().println("ringfence: " + line);
            spec.commandLine().getErr().flush();
          };
      if (pairs < 1) {
        throw new BadInputException("--pairs: expected 1 or more, found " + pairs);
      }
      Set<Figure> figures = EnumSet.noneOf(Figure.class);
      chosen.forEach(letter -> figures.add(Figure.of(letter)));
      if (figures.isEmpty()) {
        figures.addAll(EnumSet.allOf(Figure.class));
      }
      if (withoutQemu || !ReferenceJob.hasQemu()) {
        progress.accept("figures against QEMU are left out: it is not installed or not wanted");
        figures.removeIf(ReferenceFigures::needsPeer);
      }
      Path root = Path.of(System.getProperty("ringfence.root", ".")).toAbsolutePath();
      GuestCache cache = GuestCache.ofUser();
      ReferenceJob job = ReferenceJob.prepare(root, cache, new GuestPreparation(cache, progress));
      Path plugin = touchPlugin;
      if (plugin == null && figures.contains(Figure.A)) {
        plugin = TouchPlugin.build(root, cache);
      }
      ReferenceFigures measurement =
          new ReferenceFigures(job, root.resolve("ringfence"), cache, plugin, progress);
      List<ReferenceFigures.Result> results = measurement.measure(figures, pairs);
      results.forEach(result -> out.println(line(result)));
      out.flush();
      if (json != null) {
        measurement.write(json, results);
      }
      return ExitStatus.OK;
    }

    private static String line(ReferenceFigures.Result result) {
      Figure figure = result.figure();
      String verdict = "missed";
      if (result.value() <= figure.aim()) {
        verdict = "aim";
      } else if (result.value() <= figure.must()) {
        verdict = "must";
      }
      return String.format(
          Locale.ROOT,
          "%s  %-56s %8.2f %-5s  must %7.2f  aim %6.2f  %-6s  (%s)",
          figure.name().toLowerCase(Locale.ROOT),
          figure.title(),
          result.value(),
          figure.unit(),
          figure.must(),
          figure.aim(),
          verdict,
          String.format(
              Locale.ROOT,
              figure == Figure.E
                  ? "%.0f MiB resident, %.0f MiB of guest RAM"
                  : "%.1f s against %.1f s",
              result.ours(),
              result.theirs()));
    }

    private int simple() throws InterruptedException {
      PrintWriter out = spec.commandLine().getOut();
      PrintWriter err = spec.commandLine().getErr();
      GuestCache cache = GuestCache.ofUser();
      ReferenceJob job =
          ReferenceJob.prepare(
              Path.of(System.getProperty("ringfence.root", ".")),
              cache,
              new GuestPreparation(cache, line -> err.println("ringfence: " + line)));
      err.println("ringfence: running the reference job");
      Timing here = job.runHere();
      out.println(
          String.format(
              Locale.ROOT,
              "ringfence  %7.1f s  %7.1f MIPS  %,d instructions, userspace after %.1f s",
              here.seconds(),
              mips(here, here.seconds()),
              here.instructions(),
              here.userspaceSeconds()));
      out.flush();
      if (!policies.isEmpty()) {
        Timing isolated = job.runIsolated(policies.stream().map(Policy::load).toList());
        out.println(
            String.format(
                Locale.ROOT,
                "isolated   %7.1f s  %7.1f MIPS  %,d instructions; ratio %.2f",
                isolated.seconds(),
                mips(isolated, isolated.seconds()),
                isolated.instructions(),
                isolated.seconds() / here.seconds()));
        out.flush();
      }
      if (withoutQemu || !ReferenceJob.hasQemu()) {
        err.println("ringfence: no comparison: qemu-system-x86_64 is not installed or not wanted");
        return ExitStatus.OK;
      }
      Timing qemu = job.runOnQemu(cache, null);
      out.println(
          String.format(
              Locale.ROOT,
              "qemu tcg   %7.1f s  %7.1f MIPS  (by Ringfence's count)",
              qemu.seconds(),
              mips(here, qemu.seconds())));
      out.println(String.format(Locale.ROOT, "ratio      %7.1f", here.seconds() / qemu.seconds()));
      out.flush();
      return ExitStatus.OK;
    }

    private static double mips(Timing counted, double seconds) {
      return counted.instructions() / seconds / 1e6;
    }
  }

  /** One run of the job, for {@link Reference}, which times the whole process. */
  @Command(
      name = "job",
      hidden = true,
      description = "One run of the reference job, for 'bench reference'.")
  static final class Job implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Option(names = "--kernel", required = true, paramLabel = "FILE")
    private Path kernel = Path.of("vmlinuz");

    @Option(names = "--initrd", required = true, paramLabel = "FILE")
    private Path initrd = Path.of("initrd");

    @Option(names = "--work", defaultValue = "1", paramLabel = "N")
    private int work = 1;

    @Option(names = "--policy", split = ",", paramLabel = "P")
    private List<String> policies = new ArrayList<>();

    @Override
    public Integer call() {
      ReferenceJob job = new ReferenceJob(kernel, initrd, work);
      Timing timing =
          policies.isEmpty()
              ? job.runHere()
              : job.runIsolated(policies.stream().map(Policy::load).toList());
      spec.commandLine().getOut().println(ReferenceFigures.report(timing));
      spec.commandLine().getOut().flush();
      return ExitStatus.OK;
    }
  }
}
