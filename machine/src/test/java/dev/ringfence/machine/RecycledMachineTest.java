package dev.ringfence.machine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.snapshot.Snapshot;
import dev.ringfence.machine.translate.TranslationMode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A machine that was used before and takes over a saved state comes to the same end as a new one,
 * to the last bit that a guest can see, whatever code it holds from before.
 */
final class RecycledMachineTest {
  private static final long START = 0x100000;
  private static final long SEED = 1129;
  private static final int GUESTS = 40;
  private static final int CODE_BYTES = 2 * 4096;

  /** Instructions: enough for the loop below to become hot and be translated. */
  private static final long LIMIT = 300_000;

  @TempDir private Path folder;

  private static MachineConfiguration configuration(TranslationMode mode) {
    return MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1)
        .withTestDevices(MachineConfiguration.DEFAULT_DEBUG_EXIT_PORT)
        .withTranslation(mode);
  }

  /** A 64-bit ELF executable of code at its entry. */
  private static BootImage image(byte[] code) {
    ByteBuffer image = ByteBuffer.allocate(128 + code.length).order(ByteOrder.LITTLE_ENDIAN);
    image.putInt(0, 0x464c457f).put(4, (byte) 2).put(5, (byte) 1);
    image.putShort(16, (short) 2).putShort(18, (short) 62);
    image.putLong(24, START).putLong(32, 64).putShort(54, (short) 56).putShort(56, (short) 1);
    image.putInt(64, 1).putLong(72, 128).putLong(80, START).putLong(88, START);
    image.putLong(96, code.length).putLong(104, code.length);
    image.put(128, code);
    return BootImage.of(BootFile.of("code", image.array()));
  }

  /** Adds a number to RAX again and again. */
  private static byte[] adding(int number) {
    ByteBuffer code = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    code.put((byte) 0x48).put((byte) 0x05).putInt(number); // add rax, number
    code.put((byte) 0xeb).put((byte) -8); // jmp to it
    return code.array();
  }

  /** The state of a machine that is about to execute code. */
  private Snapshot saved(MachineConfiguration configuration, byte[] code) throws IOException {
    try (Machine machine = new Machine(configuration)) {
      machine.load(image(code), "", List.of());
      Path file = Files.createTempFile(folder, "state", "");
      Snapshot.save(file, configuration, "", machine.parts(), Snapshot.Storage.COMPRESSED);
      return Snapshot.open(file);
    }
  }

  /** Runs from a saved state; returns all that a guest could know of the end. */
  private static String end(Machine machine, Snapshot from) {
    from.restore(machine.configuration(), machine.parts());
    String end;
    try {
      end = machine.run(new RunLimits(LIMIT, 10 * LIMIT)).toString();
    } catch (GuestTroubleException e) {
      end = "trouble";
    }
    MessageDigest digest = sha256();
    machine.memory().digest(digest);
    return "%s after %d ns%nRAM %s"
        .formatted(
            machine.report(end), machine.nanoseconds(), HexFormat.of().formatHex(digest.digest()));
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  private static String endOfNew(Snapshot from, MachineConfiguration configuration) {
    try (Machine machine = new Machine(configuration)) {
      return end(machine, from);
    }
  }

  @ParameterizedTest
  @EnumSource
  void codeThatIsOtherInTheSnapshotIsExecutedAsItIsThere(TranslationMode mode) throws IOException {
    MachineConfiguration configuration = configuration(mode);
    Snapshot ones = saved(configuration, adding(1));
    Snapshot threes = saved(configuration, adding(3));
    String endOfOnes = endOfNew(ones, configuration);
    String endOfThrees = endOfNew(threes, configuration);
    try (Machine machine = new Machine(configuration)) {
      for (int round = 0; round < 2; round++) {
        assertEquals(endOfOnes, end(machine, ones));
        machine.recycle();
        assertEquals(endOfThrees, end(machine, threes));
        machine.recycle();
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"OFF", "ON"})
  void randomGuestsEndAsInANewMachine(TranslationMode mode) throws IOException {
    SplittableRandom random = new SplittableRandom(SEED);
    MachineConfiguration configuration = configuration(mode);
    byte[] code = new byte[CODE_BYTES];
    random.nextBytes(code);
    List<Snapshot> guests = new ArrayList<>();
    for (int guest = 0; guest < GUESTS; guest++) {
      guests.add(saved(configuration, code));
      // The next one has most of it in common, and jumps over what ended this one at once.
      for (int change = 0; change < 30; change++) {
        code[random.nextInt(change < 10 ? 64 : CODE_BYTES)] = (byte) random.nextInt();
      }
    }
    try (Machine machine = new Machine(configuration)) {
      for (int guest = 0; guest < GUESTS; guest++) {
        assertEquals(
            endOfNew(guests.get(guest), configuration),
            end(machine, guests.get(guest)),
            "guest %d of seed %d, translation %s".formatted(guest, SEED, mode));
        machine.recycle();
      }
    }
  }

  @Test
  void nobodyIsAttachedAfterwards() throws IOException {
    MachineConfiguration configuration = configuration(TranslationMode.ON);
    Snapshot start = saved(configuration, adding(1));
    AtomicInteger told = new AtomicInteger();
    try (Machine machine = new Machine(configuration)) {
      machine.probes().setCodeProbe(START, processor -> told.incrementAndGet());
      machine.probes().add(new Probe() {});
      machine.setInstructionListener(100, (processor, translated) -> told.incrementAndGet());
      String observed = end(machine, start);
      int before = told.get();
      assertNotEquals(0, before);
      machine.requestStop();
      machine.recycle();
      assertEquals(observed, end(machine, start));
      assertEquals(before, told.get());
    }
  }
}
