package dev.ringfence.cli;

import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.ConsolePort;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.StopReason;
import java.io.ByteArrayOutputStream;
import java.io.Console;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jline.terminal.Attributes;
import org.jline.terminal.Terminal;
import org.jline.terminal.TerminalBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Joins the user's terminal, or a pipe, with the guest's console.
 *
 * <p>The machine runs in short steps on this thread; between two steps it gets what was typed.
 * While the guest idles its time would rush ahead, since idle time costs nothing, so a step that
 * took less time here than in the guest is followed by a wait, which a key ends.
 */
final class InteractiveConsole {
  private static final int ESCAPE = 0x1d;
  private static final int END_OF_TRANSMISSION = 4;

  /** Guest time of a step: at 60 MIPS a busy guest sees a key within about 30 ms. */
  private static final long STEP_NANOSECONDS = 2_000_000;

  /** Guest time of a step when the last one found the guest idle. */
  private static final long IDLE_STEP_NANOSECONDS = 20_000_000;

  /** Piped input waits until the console has been silent for that much guest time. */
  private static final long QUIET_NANOSECONDS = 200_000_000;

  /** The same for guests that do not tell when they are up. */
  private static final long QUIET_UNKNOWN_NANOSECONDS = 3_000_000_000L;

  private static final byte[] END = {};

  private final GuestSession session;
  private final Machine machine;
  private final Manifest manifest;
  private final Consumer<String> progress;
  private final BlockingQueue<byte[]> keys = new LinkedBlockingQueue<>();
  private boolean menu;
  private boolean quit;

  InteractiveConsole(GuestSession session, Manifest manifest, Consumer<String> progress) {
    this.session = session;
    this.machine = session.machine();
    this.manifest = manifest;
    this.progress = progress;
  }

  // JDK 25 gives null again when input or output is redirected.
  @SuppressWarnings("SystemConsoleNull")
  static boolean hasTerminal() {
    Console console = System.console();
    return console != null && console.isTerminal();
  }

  /** Name and size of the terminal as the init program takes it. */
  static String terminalDescription() throws IOException {
    try (Terminal terminal = TerminalBuilder.builder().system(true).build()) {
      int columns = terminal.getWidth() > 0 ? terminal.getWidth() : 80;
      int rows = terminal.getHeight() > 0 ? terminal.getHeight() : 24;
      String name = System.getenv("TERM");
      boolean plain = name != null && name.matches("[A-Za-z0-9.+-]+");
      return "%s,%dx%d".formatted(plain ? name : "vt100", columns, rows);
    }
  }

  /** Runs until the guest ends the run or the user leaves. */
  StopReason run() throws IOException, InterruptedException {
    if (!hasTerminal()) {
      return runPiped();
    }
    try (Terminal terminal = TerminalBuilder.builder().system(true).build()) {
      Attributes before = terminal.getAttributes();
      progress.accept("booting; Ctrl-] opens a menu, Ctrl-] q leaves");
      terminal.setAttributes(raw(before));
      try {
        return runInteractive();
      } finally {
        terminal.setAttributes(before);
        System.out.println();
      }
    }
  }

  /** Every byte goes to the guest, and every byte of the guest to the terminal, as it is. */
  private static Attributes raw(Attributes before) {
    Attributes raw = new Attributes(before);
    raw.setLocalFlags(
        EnumSet.of(
            Attributes.LocalFlag.ICANON,
            Attributes.LocalFlag.ECHO,
            Attributes.LocalFlag.IEXTEN,
            Attributes.LocalFlag.ISIG),
        false);
    raw.setInputFlags(
        EnumSet.of(
            Attributes.InputFlag.IXON,
            Attributes.InputFlag.ICRNL,
            Attributes.InputFlag.INLCR,
            Attributes.InputFlag.IGNCR),
        false);
    raw.setOutputFlag(Attributes.OutputFlag.OPOST, false);
    raw.setControlChar(Attributes.ControlChar.VMIN, 1);
    raw.setControlChar(Attributes.ControlChar.VTIME, 0);
    return raw;
  }

  private StopReason runInteractive() throws InterruptedException {
    startReading();
    boolean idle = false;
    while (true) {
      takeKeys(keys.poll());
      if (quit) {
        return new StopReason.Requested();
      }
      long step = idle ? IDLE_STEP_NANOSECONDS : STEP_NANOSECONDS;
      long wallBefore = System.nanoTime();
      long virtualBefore = machine.nanoseconds();
      long instructionsBefore = machine.instructions();
      Optional<StopReason> end = session.advance(step);
      if (end.isPresent()) {
        return end.get();
      }
      idle = machine.instructions() - instructionsBefore < step / 4;
      long ahead = machine.nanoseconds() - virtualBefore - (System.nanoTime() - wallBefore);
      if (idle && ahead > 0) {
        takeKeys(keys.poll(ahead, TimeUnit.NANOSECONDS));
      }
    }
  }

  private StopReason runPiped() throws InterruptedException {
    startReading();
    long quietSince = machine.nanoseconds();
    long bytes = 0;
    boolean started = false;
    boolean ended = false;
    while (true) {
      Optional<StopReason> end = session.advance(QUIET_NANOSECONDS / 10);
      if (end.isPresent()) {
        return end.get();
      }
      // The shell is about to start then; what is typed before it is ready would be lost.
      if (session.consoleBytes() != bytes || session.started() != started) {
        bytes = session.consoleBytes();
        started = session.started();
        quietSince = machine.nanoseconds();
      }
      long quiet = started ? QUIET_NANOSECONDS : QUIET_UNKNOWN_NANOSECONDS;
      if (!ended && machine.nanoseconds() - quietSince >= quiet) {
        // The guest waits, so the machine can wait for the pipe.
        byte[] input = keys.take();
        ended = input.length == 0;
        session.input(ConsolePort.COM1, ended ? new byte[] {(byte) END_OF_TRANSMISSION} : input);
        quietSince = machine.nanoseconds();
      }
    }
  }

  private void startReading() {
    Thread reader =
        Thread.ofPlatform()
            .daemon()
            .name("console input")
            .unstarted(() -> {
              byte[] buffer = new byte[4096];
              try (InputStream in = new FileInputStream(FileDescriptor.in)) {
                int count = in.read(buffer);
                while (count > 0) {
                  keys.add(Arrays.copyOf(buffer, count));
                  count = in.read(buffer);
                }
              } catch (IOException e) {
                // A terminal that is gone has no more input, as at its end.
              }
              keys.add(END);
            });
    reader.start();
  }

  private void takeKeys(byte @Nullable [] typed) {
    if (typed == null) {
      return;
    }
    if (typed.length == 0) {
      quit = true;
      return;
    }
    ByteArrayOutputStream forGuest = new ByteArrayOutputStream();
    for (byte key : typed) {
      if (menu) {
        menu = false;
        choose(key, forGuest);
      } else if (key == ESCAPE) {
        menu = true;
        say("q quit   s snapshot   i registers   c send Ctrl-]   other keys go on");
      } else {
        forGuest.write(key);
      }
    }
    if (forGuest.size() > 0) {
      session.input(ConsolePort.COM1, forGuest.toByteArray());
    }
  }

  private void choose(int key, ByteArrayOutputStream forGuest) {
    switch (key) {
      case 'q' -> quit = true;
      case 'c', ESCAPE -> forGuest.write(ESCAPE);
      case 'i' -> say(machine.report("state of the machine").replace("\n", "\r\n"));
      case 's' -> {
        Path file = Path.of("ringfence-%d.snapshot".formatted(machine.instructions()));
        session.saveSnapshot(file, manifest.with(session.recordedInput(), null));
        say("snapshot in " + file.toAbsolutePath());
      }
      default -> say("going on");
    }
  }

  private static void say(String text) {
    System.err.print("\r\nringfence: " + text + "\r\n");
    System.err.flush();
  }
}
