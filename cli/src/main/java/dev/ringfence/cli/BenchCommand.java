package dev.ringfence.cli;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.bench.ReferenceJob;
import dev.ringfence.lab.bench.ReferenceJob.Timing;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
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
    subcommands = BenchCommand.Reference.class)
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

    @Override
    public Integer call() throws InterruptedException {
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
      Timing qemu = job.runOnQemu(cache);
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
}
