package dev.ringfence.lab.run;

import dev.ringfence.lab.guest.Assignment;
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
import java.io.ByteArrayOutputStream;
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
import org.jspecify.annotations.Nullable;

/**
 * One run of a guest: advances the machine in steps, passes the console on, keeps and replays
 * input, gives the init program its assignment, and tells a kernel panic from a power-off.
 *
 * <p>The machine stops at the very instructions at which the init program says that the system is
 * up and that the command begins, and steps end at multiples of their length. So a run that goes on
 * from a snapshot of the booted system is equal to one that booted.
 */
public final class GuestSession implements Stateful {
  private static final byte[] PANIC =
      "Kernel panic - not syncing".getBytes(StandardCharsets.US_ASCII);

  /** How long a kernel may go on after the first line of a panic, to print the rest. */
  private static final long PANIC_NANOSECONDS = 500_000_000;

  /**
   * How long an unattended guest may execute nothing: an hour of its time. Kernels that are up wake
   * within seconds, whatever their processes wait for.
   */
  private static final long LONGEST_WAIT = 3_600_000_000_000L;

  private static final long NEVER = Long.MAX_VALUE;

  /** More console output than a boot has; a snapshot of one that has more is not of use. */
  private static final int MOST_BOOT_CONSOLE = 4 << 20;

  private final Machine machine;
  private final @Nullable Assignment assignment;
  private final long maximumInstructions;
  private final boolean fromStart;
  private final CommandOutput command;
  private final OutputStream console;
  private final OutputStream output;
  private final MessageDigest consoleDigest;
  private final List<Manifest.ConsoleInput> input = new ArrayList<>();
  private final Deque<Manifest.ConsoleInput> replay = new ArrayDeque<>();
  private final ByteArrayOutputStream bootConsole = new ByteArrayOutputStream();
  private final List<Runnable> upListeners = new ArrayList<>();
  private final List<Runnable> stopListeners = new ArrayList<>();
  private boolean assigned;
  private long consoleBytes;
  private int panicSeen;
  private long panicDeadline = NEVER;
  private boolean unattended;
  private long instructionsBeforeWait = -1;
  private long waitBegan;

  /**
   * Connects to a machine before it runs.
   *
   * @param assignment for the init program of ours; null if the guest has another one
   * @param maximumInstructions at which a guest is taken to be in an endless loop
   * @param console takes what the guest writes to its console
   * @param output takes what a command prints
   * @param fromStart whether the console is passed on from power-on; otherwise only what follows
   *     the start record, which keeps the kernel's messages out of a command's standard error
   */
  public GuestSession(
      Machine machine,
      @Nullable Assignment assignment,
      long maximumInstructions,
      OutputStream console,
      OutputStream output,
      boolean fromStart) {
    this.machine = machine;
    this.assignment = assignment;
    this.maximumInstructions = maximumInstructions;
    this.console = console;
    this.output = output;
    this.fromStart = fromStart;
    this.command = new CommandOutput(output);
    try {
      this.consoleDigest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
    machine.connect(ConsolePort.COM1, this::fromConsole);
    machine.connect(ConsolePort.COM2, this::fromInit);
  }

  private void fromInit(int value) {
    boolean up = command.up();
    boolean started = command.started();
    command.accept(value);
    if (up != command.up() || started != command.started()) {
      machine.stopAfterInstruction();
    }
  }

  private void fromConsole(int value) {
    consoleBytes++;
    consoleDigest.update((byte) value);
    if (!assigned && bootConsole.size() < MOST_BOOT_CONSOLE) {
      bootConsole.write(value);
    }
    panicSeen = value == PANIC[panicSeen] ? panicSeen + 1 : value == PANIC[0] ? 1 : 0;
    if (panicSeen == PANIC.length) {
      panicSeen = 0;
      if (panicDeadline == NEVER) {
        panicDeadline = machine.nanoseconds() + PANIC_NANOSECONDS;
        machine.requestStop();
      }
    }
    if (fromStart || command.started()) {
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

  /**
   * Adds someone who is told, once, that the guest's system is up and waits for its assignment: the
   * point at which {@link #saveSnapshot} serves runs with other assignments too.
   */
  public void onUp(Runnable listener) {
    upListeners.add(listener);
  }

  /** Whether the init program has been told its assignment, so that {@link #onUp} is over. */
  public boolean isAssigned() {
    return assigned;
  }

  /** Adds someone who is told when the machine has stopped because somebody asked it to. */
  public void onStop(Runnable listener) {
    stopListeners.add(listener);
  }

  /**
   * Says that nobody will type. A guest that executes nothing for an hour of its time, halted for
   * good or waiting for what does not come, is in trouble then; otherwise it would be waited for
   * without end.
   */
  public void setUnattended() {
    unattended = true;
  }

  /**
   * Whether a snapshot of the system that has come up is what every such run comes to: nobody has
   * typed, and its console is complete.
   */
  public boolean isPlainBoot() {
    return input.isEmpty() && replay.isEmpty() && bootConsole.size() < MOST_BOOT_CONSOLE;
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
   * @param nanoseconds length of a step of virtual time; the run ends at its next multiple, or when
   *     {@link #started} becomes true
   * @return why the run is over, or empty if it can go on
   * @throws GuestTroubleException if the guest cannot go on, panicked or reached the limit
   */
  public Optional<StopReason> advance(long nanoseconds) {
    long target = nextMultiple(machine.nanoseconds(), nanoseconds);
    while (machine.nanoseconds() < target) {
      assign();
      giveReplayedInput();
      StopReason reason = machine.run(nextLimits(target));
      switch (reason) {
        case StopReason.InstructionLimit limit -> checkInstructionLimit();
        case StopReason.TimeLimit limit -> {
          checkPanic();
          checkWait();
        }
        case StopReason.Requested requested -> {
          // By the console's watch for panics, by the host, by an observer, or because init has
          // told
          // something.
          stopListeners.forEach(Runnable::run);
          if (panicDeadline == NEVER && !waitsForAssignment()) {
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

  /** Runs to the end, unattended. */
  public StopReason runToEnd() {
    setUnattended();
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
      assign();
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

  private boolean waitsForAssignment() {
    return command.up() && !assigned && assignment != null;
  }

  /** Tells the init program what to do, if it has asked. */
  private void assign() {
    if (assignment != null && waitsForAssignment()) {
      upListeners.forEach(Runnable::run);
      assigned = true;
      bootConsole.reset();
      machine.input(ConsolePort.COM2, assignment.toBytes());
    }
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

  private void checkWait() {
    if (machine.instructions() != instructionsBeforeWait) {
      instructionsBeforeWait = machine.instructions();
      waitBegan = machine.nanoseconds();
    } else if (unattended
        && replay.isEmpty()
        && machine.nanoseconds() - waitBegan >= LONGEST_WAIT) {
      throw trouble(
          "the guest has executed nothing for an hour of its time: its processors are halted, and nothing wakes them");
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
    saveSnapshot(file, manifest, List.of(), Snapshot.Storage.COMPRESSED);
  }

  /** Writes machine, session and what else belongs to them to a file; all go on. */
  public void saveSnapshot(
      Path file, Manifest manifest, List<Stateful> observers, Snapshot.Storage storage) {
    Snapshot.save(file, machine.configuration(), manifest.toJson(), parts(observers), storage);
  }

  /** Brings machine and session into the state of a snapshot. */
  public void restore(Snapshot snapshot) {
    restore(snapshot, List.of());
  }

  /** Brings machine, session and what else was saved into the state of a snapshot. */
  public void restore(Snapshot snapshot, List<Stateful> observers) {
    snapshot.restore(machine.configuration(), parts(observers));
    if (fromStart) {
      for (byte value : bootConsole.toByteArray()) {
        write(console, value);
      }
    }
  }

  private List<Stateful> parts(List<Stateful> observers) {
    List<Stateful> parts = new ArrayList<>(machine.parts());
    parts.add(this);
    parts.addAll(observers);
    return parts;
  }

  @Override
  public String stateName() {
    return "session";
  }

  @Override
  public void save(StateWriter out) {
    command.save(out);
    out.writeBoolean(assigned);
    out.writeInt(bootConsole.size());
    out.writeBytes(bootConsole.toByteArray());
    out.writeLong(consoleBytes);
    out.writeInt(panicSeen);
    out.writeLong(panicDeadline);
  }

  @Override
  public void restore(StateReader in) {
    command.restore(in);
    assigned = in.readBoolean();
    byte[] boot = in.readBytes(in.readInt("bytes of the boot's console", 0, MOST_BOOT_CONSOLE));
    bootConsole.reset();
    bootConsole.writeBytes(boot);
    consoleDigest.reset();
    consoleDigest.update(boot);
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

  /** The smallest multiple of a step that is greater than a time; NEVER if it would overflow. */
  private static long nextMultiple(long time, long step) {
    long multiple = (time / step + 1) * step;
    return multiple <= time ? NEVER : multiple;
  }
}
