package dev.ringfence.cli;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.oracle.InstructionFuzz;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Random tests that run as long as one likes. */
@Command(
    name = "fuzz",
    description = "Compares the machine with real processors on random cases.",
    mixinStandardHelpOptions = true,
    subcommands = FuzzCommand.Instructions.class)
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
        names = "--keep",
        paramLabel = "FOLDER",
        description = "Writes each case that differs to a file there.")
    private @Nullable Path keep;

    @Override
    public Integer call() {
      PrintWriter out = spec.commandLine().getOut();
      PrintWriter err = spec.commandLine().getErr();
      InstructionFuzz.Options options =
          new InstructionFuzz.Options(seed, cases, form, firstCase, duration(time));
      out.println("host: " + InstructionFuzz.hostDescription());
      InstructionFuzz.Summary summary;
      try (InstructionFuzz fuzz = InstructionFuzz.start()) {
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
              "  again: ./ringfence fuzz instructions --seed %d --form '%s' --case %d --cases 1%n",
              seed, failure.form(), failure.number());
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
}
