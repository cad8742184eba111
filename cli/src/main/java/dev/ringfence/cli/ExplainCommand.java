package dev.ringfence.cli;

import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.report.TextReport;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** One cause of exits in full. */
@Command(
    name = "explain",
    mixinStandardHelpOptions = true,
    description =
        "Shows a cause of exits: stack, data, why the kernel ran, and what mapping it would change.",
    footer = {"", "Example:", "  ringfence explain runs/mixed --policy google-2025 --cause 1"})
final class ExplainCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Parameters(index = "0", paramLabel = "RUN", description = "Folder of a run, or its run.json.")
  private Path run = Path.of("");

  @Option(
      names = "--policy",
      paramLabel = "P",
      required = true,
      description = "A policy of the run.")
  private String policy = "";

  @Option(
      names = "--cause",
      paramLabel = "N",
      defaultValue = "1",
      description = "Number of the cause, as in the table. Default: ${DEFAULT-VALUE}.")
  private int cause = 1;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    TextReport.explain(ResultFile.read(run), policy, cause).forEach(out::println);
    out.flush();
    return ExitStatus.OK;
  }
}
