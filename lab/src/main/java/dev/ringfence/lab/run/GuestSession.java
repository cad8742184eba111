package dev.ringfence.lab.run;

import dev.ringfence.lab.guest.CommandOutput;
import dev.ringfence.machine.ConsolePort;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.snapshot.Snapshot;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * One run of a guest: advances the machine in steps, passes the console on, keeps and replays
 * input, and tells a kernel panic from a power-off.
 */
public final class GuestSession implements Stateful {
  private static final byte[] PANIC =
      "Kernel panic - not syncing".getBytes(StandardCharsets.US_ASCII);

  /** How long a kernel may go on after the first line of a panic, to print the rest. */
  private static final long PANIC_NANOSECONDS = 500_000_000;

  private static final long NEVER = Long.MAX_VALUE;

  private final Machine machine;
  private final long maximumInstructions;
  private final CommandOutput command;
  private final OutputStream console;
  private final OutputStream output;
  private final MessageDigest consoleDigest;
  private final List<Manifest.ConsoleInput> input = new ArrayList<>();
  private final Deque<Manifest.ConsoleInput> replay = new ArrayDeque<>();
  private boolean consoleOpen;
  private long consoleBytes;
  private int panicSeen;
  private long panicDeadline = NEVER;

  /**
   * Connects to a machine before it runs.
   *
   * @param maximumInstructions at which a guest is taken to be in an endless loop
   * @param console takes what the guest writes to its console
   * @param output takes what a command prints
   * @param fromStart whether the console is passed on from power-on; otherwise only what follows
   *     the start record, which keeps the kernel's messages out of a command's standard error
   */
  public GuestSession(
      Machine machine,
      long maximumInstructions,
      OutputStream console,
      OutputStream output,
      boolean fromStart) {
    this.machine = machine;
    this.maximumInstructions = maximumInstructions;
    this.console = console;
    this.output = output;
    this.consoleOpen = fromStart;
    this.command = new CommandOutput(output);
    try {
      this.consoleDigest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
    machine.connect(ConsolePort.COM1, this::fromConsole);
    machine.connect(ConsolePort.COM2, command::accept);
  }

  private void fromConsole(int value) {
    consoleBytes++;
    consoleDigest.update((byte) value);
    panicSeen = value == PANIC[panicSeen] ? panicSeen + 1 : value == PANIC[0] ? 1 : 0;
    if (panicSeen == PANIC.length) {
      panicSeen = 0;
      if (panicDeadline == NEVER) {
        panicDeadline = machine.nanoseconds() + PANIC_NANOSECONDS;
        machine.requestStop();
      }
    }
    if (consoleOpen || command.started()) {
      consoleOpen = true;
      // After the status record the guest only says that it powers off.
      if (command.status().isEmpty()) {
        write(console, value);
      }
    }
  }

  private static void write(OutputStream out, int value) {
    try {
      out.write(value);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  public Machine machine() {
    return machine;
  }

  /** Whether the init program of a guest that was prepared here has brought the system up. */
  public boolean started() {
    return command.started();
  }

  /** Bytes that the guest wrote to its console. */
  public long consoleBytes() {
    return consoleBytes;
  }

  /** The command's exit status, once the guest is off. */
  public OptionalInt commandStatus() {
    return command.status();
  }

  /** Gives the guest input now, and keeps a record of it. */
  public void input(ConsolePort port, byte[] bytes) {
    input.add(
        new Manifest.ConsoleInput(
            machine.instructions(), machine.nanoseconds(), port.name(), bytes));
    machine.input(port, bytes);
  }

  /** All input so far. */
  public List<Manifest.ConsoleInput> recordedInput() {
    return List.copyOf(input);
  }

  /** Plans input of an earlier run, at the points at which it was given then. */
  public void replay(List<Manifest.ConsoleInput> earlier) {
    replay.addAll(earlier);
  }

  /**
   * Runs for a while.
   *
   * @param nanoseconds of virtual time, at most
   * @return why the run is over, or empty if it can go on
   * @throws GuestTroubleException if the guest cannot go on, panicked or reached the limit
   */
  public Optional<StopReason> advance(long nanoseconds) {
    long target = saturatedSum(machine.nanoseconds(), nanoseconds);
    while (machine.nanoseconds() < target) {
      giveReplayedInput();
      StopReason reason = machine.run(nextLimits(target));
      switch (reason) {
        case StopReason.InstructionLimit limit -> checkInstructionLimit();
        case StopReason.TimeLimit limit -> checkPanic();
        case StopReason.Requested requested -> {
          // By the console's watch for panics, or by the host.
          if (panicDeadline == NEVER) {
            flush();
            return Optional.empty();
          }
        }
        case StopReason.Reset reset -> {
          if (panicDeadline != NEVER) {
            throw trouble("kernel panic");
          }
          flush();
          return Optional.of(reason);
        }
        case StopReason.PowerOff off -> {
          flush();
          return Optional.of(reason);
        }
        case StopReason.DebugExit exit -> {
          flush();
          return Optional.of(reason);
        }
      }
    }
    giveReplayedInput();
    flush();
    return Optional.empty();
  }

  /** Runs to the end. */
  public StopReason runToEnd() {
    while (true) {
      // In steps, so that output reaches the user while the guest runs.
      Optional<StopReason> end = advance(10_000_000);
      if (end.isPresent()) {
        return end.get();
      }
    }
  }

  /** Runs until the guest has executed that many instructions, or ends before. */
  public Optional<StopReason> runUntilInstruction(long instructions) {
    while (machine.instructions() < instructions) {
      StopReason reason = machine.run(RunLimits.untilInstruction(instructions));
      if (!(reason instanceof StopReason.InstructionLimit)
          && !(reason instanceof StopReason.Requested)) {
        flush();
        return Optional.of(reason);
      }
      checkPanic();
    }
    flush();
    return Optional.empty();
  }

  private RunLimits nextLimits(long target) {
    long nanoseconds = Math.min(target, panicDeadline);
    long instructions = maximumInstructions;
    if (!replay.isEmpty()) {
      Manifest.ConsoleInput next = replay.peek();
      // The point of the input is where both counts were reached.
      if (machine.instructions() < next.instructions()) {
        instructions = Math.min(instructions, next.instructions());
      } else {
        nanoseconds = Math.min(nanoseconds, next.nanoseconds());
      }
    }
    return new RunLimits(instructions, nanoseconds);
  }

  private void giveReplayedInput() {
    while (!replay.isEmpty()
        && machine.instructions() >= replay.peek().instructions()
        && machine.nanoseconds() >= replay.peek().nanoseconds()) {
      Manifest.ConsoleInput next = replay.remove();
      input(ConsolePort.valueOf(next.port()), next.bytes());
    }
  }

  private void checkInstructionLimit() {
    if (machine.instructions() >= maximumInstructions) {
      throw trouble("the limit of %d instructions was reached".formatted(maximumInstructions));
    }
  }

  private void checkPanic() {
    if (machine.nanoseconds() >= panicDeadline) {
      throw trouble("kernel panic");
    }
  }

  private GuestTroubleException trouble(String what) {
    flush();
    return new GuestTroubleException(machine.report(what));
  }

  private void flush() {
    try {
      console.flush();
      output.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Writes machine and session to a file; both go on. */
  public void saveSnapshot(Path file, Manifest manifest) {
    Snapshot.save(file, machine.configuration(), manifest.toJson(), parts());
  }

  /** Brings machine and session into the state of a snapshot. */
  public void restore(Snapshot snapshot) {
    snapshot.restore(machine.configuration(), parts());
  }

  private List<Stateful> parts() {
    List<Stateful> parts = new ArrayList<>(machine.parts());
    parts.add(this);
    return parts;
  }

  @Override
  public String stateName() {
    return "session";
  }

  @Override
  public void save(StateWriter out) {
    command.save(out);
    out.writeBoolean(consoleOpen);
    out.writeLong(consoleBytes);
    out.writeInt(panicSeen);
    out.writeLong(panicDeadline);
  }

  @Override
  public void restore(StateReader in) {
    command.restore(in);
    consoleOpen = in.readBoolean() || consoleOpen;
    consoleBytes = in.readLong();
    panicSeen = in.readInt("bytes of a panic's first line", 0, PANIC.length - 1);
    panicDeadline = in.readLong();
  }

  /** What came out of the run. */
  public Manifest.Result result(String end, int status) {
    try {
      MessageDigest copy = (MessageDigest) consoleDigest.clone();
      return new Manifest.Result(
          end,
          status,
          machine.instructions(),
          machine.nanoseconds(),
          HexFormat.of().formatHex(copy.digest()));
    } catch (CloneNotSupportedException e) {
      throw new AssertionError("SHA-256 of the JDK can be cloned", e);
    }
  }

  private static long saturatedSum(long a, long b) {
    long sum = a + b;
    return sum < a ? NEVER : sum;
  }
}
