package dev.ringfence.machine.boot;

import static org.junit.jupiter.api.Assertions.fail;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Whatever the bytes of an image are, it is loaded or refused, and nothing else happens. */
final class HostileImageTest {
  private static final int ROUNDS = 3000;
  private static final long SEED = 42;

  /** Images to begin with, by name. */
  private static List<Arguments> images() {
    return List.of(
        Arguments.of("linux", TestImages.linux()),
        Arguments.of("multiboot", TestImages.multiboot()),
        Arguments.of("elf32", TestImages.elf(false)),
        Arguments.of("elf64", TestImages.elf(true)),
        Arguments.of("pvh", TestImages.pvh(0x100008)));
  }

  @ParameterizedTest
  @MethodSource("images")
  void truncatedImagesAreLoadedOrRefused(String name, byte[] original) {
    PhysicalMemory memory = new PhysicalMemory(64 << 20);
    for (int length = 0; length < original.length; length += length < 1024 ? 1 : 97) {
      load(memory, Arrays.copyOf(original, length), name + ", length " + length);
    }
    memory.close();
  }

  @ParameterizedTest
  @MethodSource("images")
  void changedImagesAreLoadedOrRefused(String name, byte[] original) {
    PhysicalMemory memory = new PhysicalMemory(64 << 20);
    SplittableRandom random = new SplittableRandom(SEED);
    for (int round = 0; round < ROUNDS; round++) {
      byte[] image = original.clone();
      int changes = 1 + random.nextInt(4);
      for (int i = 0; i < changes; i++) {
        // Headers are where the interest is.
        int at = random.nextInt(Math.min(image.length, 0x270));
        switch (random.nextInt(3)) {
          case 0 -> image[at] ^= (byte) (1 << random.nextInt(8));
          case 1 -> image[at] = (byte) random.nextInt();
          default -> Arrays.fill(image, at, Math.min(image.length, at + 8), (byte) -1);
        }
      }
      load(memory, image, name + ", round " + round);
    }
    memory.close();
  }

  @Test
  void randomBytesAreLoadedOrRefused() {
    PhysicalMemory memory = new PhysicalMemory(64 << 20);
    SplittableRandom random = new SplittableRandom(SEED);
    for (int round = 0; round < ROUNDS; round++) {
      byte[] image = new byte[1024];
      random.nextBytes(image);
      if (round % 2 == 0) {
        System.arraycopy(TestImages.elf(true), 0, image, 0, 24);
      }
      load(memory, image, "round " + round);
    }
    memory.close();
  }

  private static void load(PhysicalMemory memory, byte[] image, String what) {
    try {
      BootImage.of(BootFile.of("image", image))
          .load(memory, Firmware.NONE, "x", List.of(BootFile.of("initrd", new byte[10])));
    } catch (BadInputException expected) {
      // Refused, with a message.
    } catch (RuntimeException e) {
      fail(what + " of seed " + SEED + " (HostileImageTest)", e);
    }
  }
}
