package dev.ringfence.machine;

import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * A PC. It runs on the thread that calls {@link #run}; only {@link #requestStop} may be called by
 * another.
 */
// The executor fills in what is only declared here.
@SuppressWarnings("DoNotCallSuggester")
public final class Machine implements AutoCloseable {
  private final MachineConfiguration configuration;

  /** Builds the machine and switches it on; it has nothing to execute yet. */
  public Machine(MachineConfiguration configuration) {
    this.configuration = configuration;
  }

  public MachineConfiguration configuration() {
    return configuration;
  }

  /**
   * Places an image in memory and sets the first processor to its entry.
   *
   * @throws BadInputException if image, initrds and memory do not fit each other
   */
  public void load(BootImage image, String commandLine, List<BootFile> initrds) {
    throw new UnsupportedOperationException();
  }

  /**
   * Runs until the guest ends the run, a limit is reached or {@link #requestStop} was called.
   *
   * @throws GuestTroubleException if the guest cannot go on
   */
  public StopReason run(RunLimits limits) {
    throw new UnsupportedOperationException();
  }

  /** Makes {@link #run} return at the next instruction boundary. */
  public void requestStop() {
    throw new UnsupportedOperationException();
  }

  /** Instructions that all processors have executed since power-on. */
  public long instructions() {
    throw new UnsupportedOperationException();
  }

  /** Virtual time since power-on. */
  public long nanoseconds() {
    throw new UnsupportedOperationException();
  }

  /**
   * Sends what the guest writes to a port, byte by byte, to a sink. The sink is called in the
   * middle of an instruction; it may call {@link #requestStop}.
   */
  public void connect(ConsolePort port, IntConsumer output) {
    throw new UnsupportedOperationException();
  }

  /**
   * Offers bytes to the guest. The machine must not be running; that makes the point of the input,
   * and with it the run, repeatable.
   */
  public void input(ConsolePort port, byte[] bytes) {
    throw new UnsupportedOperationException();
  }

  /** The parts whose state makes up the machine, always in the same order. */
  public List<Stateful> parts() {
    throw new UnsupportedOperationException();
  }

  /**
   * An account of where the machine stands, for people: what happened, registers, bytes at RIP,
   * last console lines.
   */
  public String report(String whatHappened) {
    throw new UnsupportedOperationException();
  }

  /** Gives memory and disk images back. */
  @Override
  public void close() {
    throw new UnsupportedOperationException();
  }
}
