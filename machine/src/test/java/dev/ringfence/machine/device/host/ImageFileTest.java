package dev.ringfence.machine.device.host;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.snapshot.SnapshotException;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Raw disk images and their overlay. */
final class ImageFileTest {
  private static final int SIZE = 10 * 4096 + 1536;

  @TempDir Path folder;
  private Path file;
  private final byte[] original = new byte[SIZE];

  @BeforeEach
  void createImage() throws IOException {
    file = folder.resolve("disk.img");
    new Random(1).nextBytes(original);
    Files.write(file, original);
  }

  private static byte[] content(ImageFile image) throws IOException {
    byte[] bytes = new byte[(int) image.size()];
    image.read(0, bytes, 0, bytes.length);
    return bytes;
  }

  @Test
  void copyOnWriteLeavesTheFileAlone() throws IOException {
    byte[] expected = original.clone();
    Random random = new Random(2);
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      for (int i = 0; i < 200; i++) {
        int first = random.nextInt(SIZE / 512);
        int count = 1 + random.nextInt(Math.min(20, SIZE / 512 - first));
        byte[] data = new byte[count * 512];
        if (random.nextInt(4) == 0) {
          image.writeZeroes(first * 512L, data.length);
        } else {
          random.nextBytes(data);
          image.write(first * 512L, data, 0, data.length);
        }
        System.arraycopy(data, 0, expected, first * 512, data.length);
        assertArrayEquals(expected, content(image));
      }
    }
    assertArrayEquals(original, Files.readAllBytes(file));
  }

  @Test
  void writableImagesAreWrittenThrough() throws IOException {
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.WRITABLE)) {
      image.write(512, new byte[1024], 0, 1024);
      image.writeZeroes(SIZE - 512, 512);
      image.flush();
    }
    byte[] expected = original.clone();
    Arrays.fill(expected, 512, 1536, (byte) 0);
    Arrays.fill(expected, SIZE - 512, SIZE, (byte) 0);
    assertArrayEquals(expected, Files.readAllBytes(file));
  }

  @Test
  void readOnlyImagesRefuseWrites() throws IOException {
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.READ_ONLY)) {
      assertTrue(image.isReadOnly());
      assertThrows(IOException.class, () -> image.write(0, new byte[512], 0, 512));
      assertArrayEquals(original, content(image));
    }
  }

  @Test
  void discardGivesUpWholeBlocksOfTheOverlay() throws IOException {
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      image.write(0, new byte[3 * 4096], 0, 3 * 4096);
      image.discard(512, 2 * 4096);
      byte[] expected = original.clone();
      Arrays.fill(expected, 0, 4096, (byte) 0);
      Arrays.fill(expected, 2 * 4096, 3 * 4096, (byte) 0);
      assertArrayEquals(expected, content(image));
    }
  }

  @Test
  void theOverlayIsPartOfASnapshot() throws IOException {
    ByteArrayOutputStream state = new ByteArrayOutputStream();
    byte[] expected;
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      image.write(1024, new byte[512], 0, 512);
      image.writeZeroes(8192, 4096);
      expected = content(image);
      image.save(new StateWriter(state));
    }
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      image.restore(reader(state));
      assertArrayEquals(expected, content(image));
    }
  }

  private static StateReader reader(ByteArrayOutputStream state) {
    return new StateReader(new ByteArrayInputStream(state.toByteArray()), "disk");
  }

  @Test
  void aSnapshotIsRefusedIfTheImageChanged() throws IOException {
    ByteArrayOutputStream state = new ByteArrayOutputStream();
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      image.save(new StateWriter(state));
    }
    original[0] ^= 1;
    Files.write(file, original);
    try (ImageFile image = ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE)) {
      SnapshotException e =
          assertThrows(SnapshotException.class, () -> image.restore(reader(state)));
      assertTrue(e.getMessage().contains("disk.img"), e.getMessage());
    }
  }

  private String messageOfOpening() {
    return assertThrows(
            BadInputException.class, () -> ImageFile.open(file, ImageFile.Mode.COPY_ON_WRITE))
        .getMessage();
  }

  @Test
  void sizesThatAreNoWholeSectorsAreRefused() throws IOException {
    Files.write(file, new byte[1000]);
    assertEquals(
        "disk image "
            + file
            + ": expected a size that is a positive multiple of 512 bytes, found 1000",
        messageOfOpening());
    Files.write(file, new byte[0]);
    assertTrue(messageOfOpening().endsWith("found 0"));
  }

  @Test
  void aMissingFileIsNamed() {
    file = folder.resolve("absent.img");
    assertEquals("disk image " + file + ": no such file", messageOfOpening());
    file = folder;
    assertEquals("disk image " + file + ": no such file", messageOfOpening());
  }

  @Test
  void imagesInOtherFormatsAreRefused() throws IOException {
    byte[] bytes = new byte[1024];
    System.arraycopy("QFI\u00fb".getBytes(ISO_8859_1), 0, bytes, 0, 4);
    Files.write(file, bytes);
    assertTrue(
        messageOfOpening().contains("expected a raw image, found qcow2"), messageOfOpening());
  }
}
