package dev.ringfence.cli;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.Spec;

/**
 * The root command: lists the others and turns what they throw into one message and an {@link
 * ExitStatus}.
 */
@Command(
    name = "ringfence",
    description =
        "Address space isolation beneath unmodified Linux kernels, on a deterministic x86-64 PC.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    versionProvider = Ringfence.Version.class,
    subcommands = {
      RunCommand.class,
      ExplainCommand.class,
      AttackCommand.class,
      BootCommand.class,
      SnapshotCommand.class,
      InspectCommand.class,
      BenchCommand.class,
      FuzzCommand.class,
      RehearseCommand.class
    },
    footer = {
      "",
      "For developers: './ringfence test', './ringfence format', './ringfence jmh'.",
      "Exit status: 0 success, 1 defect, 2 bad input, 3 guest trouble, 4 attacks came out unexpectedly,",
      "130 interrupted."
    })
final class Ringfence implements Runnable {
  @Spec private CommandSpec spec;

  /** Only the launcher calls this. */
  public static void main(String[] arguments) {
    int status = commandLine().execute(arguments);
    // Threads of a stopped machine or of a terminal do not keep the process.
    System.exit(status);
  }

  static CommandLine commandLine() {
    return new CommandLine(new Ringfence())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionExceptionHandler(Ringfence::executionFailed)
        .setParameterExceptionHandler(Ringfence::badArguments);
  }

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getOut());
  }

  private static int executionFailed(
      Exception failure, CommandLine command, ParseResult arguments) {
    PrintWriter err = command.getErr();
    switch (failure) {
      case BadInputException bad -> {
        err.println("ringfence: " + bad.getMessage());
        return ExitStatus.BAD_INPUT;
      }
      case GuestTroubleException trouble -> {
        err.println("ringfence: " + trouble.getMessage());
        return ExitStatus.GUEST_TROUBLE;
      }
      case InterruptedException interrupted -> {
        err.println("ringfence: interrupted");
        return ExitStatus.INTERRUPTED;
      }
      default -> {
        err.println("ringfence: this is a defect of Ringfence, please report it:");
        failure.printStackTrace(err);
        return ExitStatus.DEFECT;
      }
    }
  }

  private static int badArguments(ParameterException bad, String[] arguments) {
    String command = bad.getCommandLine().getCommandSpec().qualifiedName();
    bad.getCommandLine()
        .getErr()
        .println("ringfence: " + bad.getMessage() + " (see '" + command + " --help')");
    return ExitStatus.BAD_INPUT;
  }

  /** Ringfence's version and the JVM's, because both belong to a report of a defect. */
  static final class Version implements IVersionProvider {
    /** The version of the root pom. */
    static final String RINGFENCE = "0.1.0";

    @Override
    public String[] getVersion() {
      return new String[] {
        "ringfence " + RINGFENCE,
        "Java %s, %s %s"
            .formatted(
                Runtime.version(), System.getProperty("os.name"), System.getProperty("os.arch"))
      };
    }
  }
}
