package dev.ringfence.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;
import picocli.CommandLine.Command;

final class RingfenceTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @Test
  void withoutArgumentsItPrintsHelp() {
    assertEquals(ExitStatus.OK, execute(Ringfence.commandLine()));
    assertTrue(out.toString().startsWith("Usage: ringfence "), out.toString());
  }

  @Test
  void anUnknownOptionIsBadInput() {
    assertEquals(ExitStatus.BAD_INPUT, execute(Ringfence.commandLine(), "--no-such-option"));
    assertEquals(
        "ringfence: Unknown option: '--no-such-option' (see 'ringfence --help')\n", err.toString());
  }

  @Test
  void badInputIsOneLine() {
    assertEquals(
        ExitStatus.BAD_INPUT,
        executeThrowing(BadInputException.at("vmlinuz", 0x202, "HdrS", "MZ")));
    assertEquals("ringfence: vmlinuz: at offset 0x202: expected HdrS, found MZ\n", err.toString());
  }

  @Test
  void guestTroubleHasAStatusOfItsOwn() {
    assertEquals(
        ExitStatus.GUEST_TROUBLE, executeThrowing(new GuestTroubleException("triple fault")));
    assertEquals("ringfence: triple fault\n", err.toString());
  }

  @Test
  void anInterruptedRunEndsAsIfBySigint() {
    assertEquals(ExitStatus.INTERRUPTED, executeThrowing(new InterruptedException()));
  }

  @Test
  void anythingElseIsADefectWithItsStackTrace() {
    assertEquals(ExitStatus.DEFECT, executeThrowing(new IllegalStateException("surprise")));
    assertTrue(err.toString().contains("IllegalStateException: surprise\n\tat "), err.toString());
  }

  private int executeThrowing(Exception failure) {
    return execute(Ringfence.commandLine().addSubcommand("throw", new Throwing(failure)), "throw");
  }

  private int execute(CommandLine commandLine, String... arguments) {
    return commandLine
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(err, true))
        .execute(arguments);
  }

  @Command
  private static final class Throwing implements Callable<Integer> {
    private final Exception failure;

    Throwing(Exception failure) {
      this.failure = failure;
    }

    @Override
    public Integer call() throws Exception {
      throw failure;
    }
  }
}
