package dev.ringfence.machine.snapshot;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class SnapshotTest {
  private static final MachineConfiguration MACHINE = MachineConfiguration.of(64L << 20, 1);
  private static final String MANIFEST = "{\"é\": 1}";

  @TempDir private Path folder;

  /** A part with some bytes as its state. */
  private static final class Part implements Stateful {
    private final String name;
    private byte[] state;

    Part(String name, byte[] state) {
      this.name = name;
      this.state = state;
    }

    @Override
    public String stateName() {
      return name;
    }

    @Override
    public void save(StateWriter out) {
      out.writeInt(state.length);
      out.writeBytes(state);
    }

    @Override
    public void restore(StateReader in) {
      state = in.readBytes(in.readInt("length", 0, 1 << 20));
    }
  }

  private static byte[] bytes(int length) {
    byte[] bytes = new byte[length];
    new SplittableRandom(1).nextBytes(bytes);
    return bytes;
  }

  private Path saved() {
    return saved(Snapshot.Storage.COMPRESSED);
  }

  private Path saved(Snapshot.Storage storage) {
    Path file = folder.resolve("snapshot");
    Snapshot.save(
        file,
        MACHINE,
        MANIFEST,
        List.of(new Part("a", bytes(300_000)), new Part("b", bytes(7))),
        storage);
    return file;
  }

  private static List<Stateful> emptyParts() {
    return List.of(new Part("a", new byte[0]), new Part("b", new byte[0]));
  }

  @ParameterizedTest
  @EnumSource
  void whatIsSavedComesBack(Snapshot.Storage storage) {
    Snapshot snapshot = Snapshot.open(saved(storage));
    Part a = new Part("a", new byte[0]);
    Part b = new Part("b", new byte[0]);
    snapshot.restore(MACHINE, List.of(a, b));

    assertArrayEquals(bytes(300_000), a.state);
    assertArrayEquals(bytes(7), b.state);
    assertEquals(MANIFEST, snapshot.manifest());
  }

  @Test
  void equalStatesGiveEqualFiles() throws IOException {
    byte[] first = Files.readAllBytes(saved());
    assertArrayEquals(first, Files.readAllBytes(saved()));
  }

  @Test
  void anyFlippedBitIsFound() throws IOException {
    byte[] good = Files.readAllBytes(saved());
    Path file = folder.resolve("flipped");
    SplittableRandom random = new SplittableRandom(7);
    for (int round = 0; round < 60; round++) {
      byte[] bad = good.clone();
      int at = round < 40 ? round : random.nextInt(bad.length);
      bad[at] ^= (byte) (1 << random.nextInt(8));
      Files.write(file, bad);
      assertThrows(SnapshotException.class, () -> Snapshot.open(file), "byte " + at);
    }
  }

  @Test
  void aTruncatedFileIsFound() throws IOException {
    byte[] good = Files.readAllBytes(saved());
    Path file = folder.resolve("truncated");
    for (int length : new int[] {0, 4, 8, 11, 12, 40, good.length / 2, good.length - 1}) {
      Files.write(file, Arrays.copyOf(good, length));
      assertThrows(SnapshotException.class, () -> Snapshot.open(file), "length " + length);
    }
  }

  @Test
  void anotherVersionIsNamed() throws IOException {
    byte[] bytes = Files.readAllBytes(saved());
    bytes[11]++;
    Path file = folder.resolve("other");
    Files.write(file, bytes);
    String message = assertThrows(SnapshotException.class, () -> Snapshot.open(file)).getMessage();
    assertTrue(
        message.contains(
            "at offset 0x8: expected snapshot version %d, found %d"
                .formatted(Snapshot.VERSION, Snapshot.VERSION + 1)),
        message);
  }

  @Test
  void anotherMachineIsRefused() {
    Snapshot snapshot = Snapshot.open(saved());
    String message =
        assertThrows(
                SnapshotException.class,
                () -> snapshot.restore(MachineConfiguration.of(128L << 20, 1), emptyParts()))
            .getMessage();
    assertTrue(message.contains("memoryBytes=67108864"), message);
    assertTrue(message.contains("memoryBytes=134217728"), message);
  }

  @Test
  void partsThatDoNotMatchAreRefused() {
    Snapshot snapshot = Snapshot.open(saved());
    assertThrows(SnapshotException.class, () -> snapshot.restore(MACHINE, emptyParts().reversed()));
    assertThrows(
        SnapshotException.class, () -> snapshot.restore(MACHINE, emptyParts().subList(0, 1)));
    assertThrows(
        SnapshotException.class,
        () ->
            snapshot.restore(
                MACHINE,
                List.of(
                    new Part("a", new byte[0]),
                    new Part("b", new byte[0]),
                    new Part("c", new byte[0]))));
  }

  @Test
  void aFileThatCannotBeWrittenLeavesNothingBehind() throws IOException {
    Path target = folder.resolve("missing").resolve("snapshot");
    assertThrows(
        BadInputException.class,
        () -> Snapshot.save(target, MACHINE, MANIFEST, emptyParts(), Snapshot.Storage.COMPRESSED));
    assertFalse(Files.exists(target.getParent()));
  }
}
