package dev.ringfence.machine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.snapshot.Snapshot;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Two processors that hash what they read of a counter that both increment: any other order of
 * their turns gives other registers.
 */
final class TurnsTest {
  private static final MachineConfiguration MACHINE = MachineConfiguration.of(64L << 20, 2);

  /**
   * Instructions after which both take turns: the first one's longest turn, four milliseconds, is
   * over, and the second one has caught up.
   */
  private static final long START = 8_100_000;

  private static final long END = START + 300_000;

  /** The first processor: writes the second one's program to 0x8000, starts it, and loops. */
  private static final byte[] PROGRAM =
      HexFormat.of()
          .parseHex(
              """
              c7042500800000 66a10070
              c7042504800000 666bdb1f
              c7042508800000 6601c3f0
              c704250c800000 66ff0600
              c7042510800000 70ebed90
              b91b000000 0f32 0d000c0000 0f30
              b930080000 31d2 b808460c00 0f30
              8b042500700000 6bdb1f 01c3 ff042500700000 ebeb
              """
                  .replaceAll("\\s", ""));

  @TempDir private Path folder;

  private static Machine machine() {
    Machine machine = new Machine(MACHINE);
    machine.load(BootImage.of(BootFile.of("turns", elf(PROGRAM))), "", List.of());
    return machine;
  }

  /** A 64-bit executable of one segment at 1 MiB (System V ABI, ELF-64). */
  private static byte[] elf(byte[] program) {
    int headers = 64 + 56;
    int size = headers + program.length;
    long address = 0x10_0000;
    ByteBuffer file = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    file.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}).position(16);
    file.putShort((short) 2).putShort((short) 62).putInt(1);
    file.putLong(address + headers).putLong(64).putLong(0).putInt(0);
    file.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    file.position(64);
    file.putInt(1).putInt(7).putLong(0).putLong(address).putLong(address);
    file.putLong(size).putLong(size).putLong(4096);
    file.put(program);
    return file.array();
  }

  private static Machine started() {
    Machine machine = machine();
    run(machine, START, START);
    return machine;
  }

  private static void run(Machine machine, long until, long step) {
    while (machine.instructions() < until) {
      machine.run(RunLimits.untilInstruction(Math.min(until, machine.instructions() + step)));
    }
  }

  /** What the guest can see of the machine. */
  private static String state(Machine machine) {
    StringBuilder text = new StringBuilder();
    for (Processor processor : machine.processors()) {
      ProcessorState state = processor.state();
      text.append(
          "%d instructions, time %d, registers %s, rip %x, flags %x%n"
              .formatted(
                  processor.instructions(),
                  processor.time(),
                  Arrays.toString(Arrays.copyOf(state.r, 16)),
                  state.rip,
                  state.rflags()));
    }
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      return text + HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  private static String stateAfterOneStep() {
    try (Machine machine = machine()) {
      run(machine, END, END);
      assertEquals(END, machine.instructions());
      assertTrue(
          machine.processors().stream().allMatch(p -> p.instructions() > START / 2),
          "both processors run");
      return state(machine);
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 7, 333, 2_000, 2_001, 50_000})
  void stepsOfTheHostDoNotChangeWhoseTurnItIs(long step) {
    String expected = stateAfterOneStep();
    try (Machine machine = started()) {
      run(machine, END, step);
      assertEquals(expected, state(machine));
    }
  }

  @Test
  void stopsInTheMiddleOfATurnDoNotEither() {
    String expected = stateAfterOneStep();
    try (Machine machine = started()) {
      for (long until = START + 1_234; until < END; until += 1_234) {
        run(machine, until, until);
        machine.stopAfterInstruction();
        machine.run(RunLimits.untilInstruction(END));
      }
      run(machine, END, END);
      assertEquals(expected, state(machine));
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1_000_000, 8_123_456, 8_200_001})
  void aSnapshotInTheMiddleOfATurnGoesOnWithIt(long middle) {
    String expected = stateAfterOneStep();
    Path file = folder.resolve("middle");
    try (Machine machine = machine()) {
      run(machine, middle, middle);
      Snapshot.save(file, MACHINE, "{}", machine.parts(), Snapshot.Storage.PLAIN);
    }
    try (Machine machine = new Machine(MACHINE)) {
      Snapshot.open(file).restore(MACHINE, machine.parts());
      run(machine, END, END);
      assertEquals(expected, state(machine));
    }
  }
}
