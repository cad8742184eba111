package dev.ringfence.cli;

import dev.ringfence.lab.bench.ReferenceJob;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.oracle.InstructionFuzz;
import dev.ringfence.oracle.Lockstep;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Random tests that run as long as one likes. */
@Command(
    name = "fuzz",
    description = "Compares the machine with real processors, and its executors with each other.",
    mixinStandardHelpOptions = true,
    subcommands = {FuzzCommand.Instructions.class, FuzzCommand.LockstepBoot.class})
final class FuzzCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getOut());
  }

  /** Instructions that user programs can execute. */
  @Command(
      name = "instructions",
      description =
          "Executes generated instructions on the host's real processor and on the machine, and"
              + " compares. Exit status 1 if they differ.",
      mixinStandardHelpOptions = true)
  static final class Instructions implements Callable<Integer> {
    private static final int MOST_REPORTED = 20;

    @Spec private CommandSpec spec;

    @Option(
        names = "--seed",
        paramLabel = "N",
        defaultValue = "1",
        description = "Seed of all random choices (default: ${DEFAULT-VALUE}).")
    private long seed;

    @Option(
        names = "--cases",
        paramLabel = "N",
        defaultValue = "500",
        description = "Cases of each form, or of each form and round (default: ${DEFAULT-VALUE}).")
    private int cases;

    @Option(
        names = "--case",
        paramLabel = "N",
        defaultValue = "0",
        description = "Number of the first case (default: ${DEFAULT-VALUE}).")
    private long firstCase;

    @Option(
        names = "--form",
        paramLabel = "NAME",
        defaultValue = "",
        description = "Only the forms with NAME in their name, for example ADD_Ev_Gv.")
    private String form;

    @Option(
        names = "--time",
        paramLabel = "SECONDS",
        defaultValue = "0",
        description = "Goes on with further cases until this time has passed, for example 60s.")
    private String time;

    @Option(
        names = "--translated",
        description = "Translate each instruction to bytecode instead of interpreting it.")
    private boolean translated;

    @Option(
        names = "--steady",
        description =
            "Execute the cases of an instruction 1,500 times, so that the JVM has compiled its"
                + " translation; slow. With RINGFENCE_JAVA_OPTIONS=-Xbatch the machine waits for"
                + " the compiler.")
    private boolean steady;

    @Option(
        names = "--keep",
        paramLabel = "FOLDER",
        description = "Writes each case that differs to a file there.")
    private @Nullable Path keep;

    @Override
    public Integer call() {
      PrintWriter out = spec.commandLine().getOut();
      PrintWriter err = spec.commandLine().getErr();
      InstructionFuzz.Options options =
          new InstructionFuzz.Options(
              seed,
              cases,
              form,
              firstCase,
              duration(time),
              steady ? InstructionFuzz.Options.STEADY : 1,
              1);
      out.println("host: " + InstructionFuzz.hostDescription());
      InstructionFuzz.Summary summary;
      try (InstructionFuzz fuzz = InstructionFuzz.start(translated)) {
        long[] last = {System.nanoTime()};
        summary =
            fuzz.run(
                options,
                (at, forms, done, failures) -> {
                  long now = System.nanoTime();
                  if (now - last[0] > 1_000_000_000L) {
                    last[0] = now;
                    err.printf(
                        "form %d of %d, %,d cases, %d forms differ%n", at, forms, done, failures);
                    err.flush();
                  }
                });
      }
      report(out, summary);
      return summary.failures().isEmpty() ? ExitStatus.OK : ExitStatus.DEFECT;
    }

    private void report(PrintWriter out, InstructionFuzz.Summary summary) {
      int reported = 0;
      for (InstructionFuzz.Failure failure : summary.failures()) {
        if (reported++ < MOST_REPORTED) {
          out.printf("%n%s, case %d: %s%n", failure.form(), failure.number(), failure.code());
          failure.differences().forEach(line -> out.println("  " + line));
          out.printf(
              "  again: ./ringfence fuzz instructions --seed %d --form '%s' --case %d --cases 1%s%s%n",
              seed,
              failure.form(),
              failure.number(),
              translated ? " --translated" : "",
              steady ? " --steady" : "");
        } else {
          out.printf("%s, case %d%n", failure.form(), failure.number());
        }
        if (keep != null) {
          keep(keep, failure);
        }
      }
      out.println();
      summary
          .skippedForms()
          .forEach((feature, forms) -> out.printf("skipped: %d forms, no %s%n", forms, feature));
      out.printf(
          "%,d forms, %,d cases (%,d with exceptions), %d forms differ, %.1f s, seed %d%n",
          summary.forms(),
          summary.cases(),
          summary.exceptions(),
          summary.failures().size(),
          summary.elapsed().toMillis() / 1000.0,
          seed);
      out.flush();
    }

    private static void keep(Path folder, InstructionFuzz.Failure failure) {
      String name = failure.form().replace('/', '~') + "~" + failure.number() + ".case";
      try {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve(name), failure.text());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    private static Duration duration(String text) {
      String number = text.endsWith("s") ? text.substring(0, text.length() - 1) : text;
      try {
        return Duration.ofSeconds(Long.parseLong(number));
      } catch (NumberFormatException e) {
        throw new BadInputException("--time: expected seconds, for example 60s, found " + text);
      }
    }
  }

  /** A whole boot, interpreted and translated. */
  @Command(
      name = "lockstep",
      description =
          "Boots a guest twice side by side, interpreted and translated, and stops at the first"
              + " difference with both states. Exit status 1 if there is one.",
      mixinStandardHelpOptions = true)
  static final class LockstepBoot implements Callable<Integer> {
    @Spec private CommandSpec spec;

    @Option(
        names = "--translation",
        paramLabel = "MODE",
        defaultValue = "ON",
        description = "${COMPLETION-CANDIDATES}; FORCED translates all code (default: ON).")
    private TranslationMode mode;

    @Option(
        names = "--step",
        paramLabel = "N",
        defaultValue = "1000000",
        description = "Instructions between comparisons (default: ${DEFAULT-VALUE}).")
    private long step;

    @Option(
        names = "--instructions",
        paramLabel = "N",
        defaultValue = "10000000000",
        description = "Stop after so many (default: ${DEFAULT-VALUE}).")
    private long limit;

    @Option(
        names = "--cpus",
        paramLabel = "N",
        defaultValue = "1",
        description = "Processors (default: ${DEFAULT-VALUE}).")
    private int processors;

    @Override
    public Integer call() {
      PrintWriter out = spec.commandLine().getOut();
      PrintWriter err = spec.commandLine().getErr();
      GuestCache cache = GuestCache.ofUser();
      ReferenceJob job =
          ReferenceJob.prepare(
              Path.of(System.getProperty("ringfence.root", ".")),
              cache,
              new GuestPreparation(cache, line -> err.println("ringfence: " + line)));
      long[] last = {System.nanoTime()};
      Optional<Lockstep.Difference> difference =
          new Lockstep(() -> machine(job, TranslationMode.OFF), () -> machine(job, mode))
              .run(
                  step,
                  limit,
                  at -> {
                    if (System.nanoTime() - last[0] > 5_000_000_000L) {
                      last[0] = System.nanoTime();
                      err.printf("ringfence: equal after %,d instructions%n", at);
                      err.flush();
                    }
                  });
      if (difference.isEmpty()) {
        out.println("no difference");
        return ExitStatus.OK;
      }
      Lockstep.Difference found = difference.get();
      out.printf(
          "equal after %,d instructions, different after %,d (interpreted, translated):%n",
          found.equalUntil(), found.differentAfter());
      found.differences().forEach(line -> out.println("  " + line));
      out.printf("before:%n%s", found.before());
      out.flush();
      return ExitStatus.DEFECT;
    }

    private Machine machine(ReferenceJob job, TranslationMode translation) {
      Machine machine =
          new Machine(
              MachineConfiguration.of(ReferenceJob.configuration().memoryBytes(), processors)
                  .withTranslation(translation));
      job.guest().loadInto(machine);
      return machine;
    }
  }
}
