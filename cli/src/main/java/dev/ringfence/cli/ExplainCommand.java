package dev.ringfence.cli;

import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.report.TextReport;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** One cause of exits in full, or the exits of virtual machines. */
@Command(
    name = "explain",
    mixinStandardHelpOptions = true,
    description =
        "Shows a cause of exits: stack, data, why the kernel ran, and what mapping it would change.",
    footer = {
      "",
      "Examples:",
      "  ringfence explain runs/mixed --policy google-2025 --cause 1",
      "  ringfence explain runs/two-tenants --policy google-2025 --vm-exits"
    })
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

  @Option(
      names = "--vm-exits",
      description =
          "Shows the exits of virtual machines instead: for each machine and exit reason what the policy did and what it cost.")
  private boolean machineExits;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    RunResult result = ResultFile.read(run);
    List<String> lines =
        machineExits
            ? TextReport.explainMachines(result, policy)
            : TextReport.explain(result, policy, cause);
    lines.forEach(out::println);
    out.flush();
    return ExitStatus.OK;
  }
}
