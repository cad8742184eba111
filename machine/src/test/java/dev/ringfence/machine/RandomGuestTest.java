package dev.ringfence.machine;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random bytes as a kernel end in a report, at the limit or by switching off; nothing else happens.
 */
final class RandomGuestTest {
  private static final int GUESTS = 60;
  private static final int CODE_BYTES = 4096;
  private static final long LIMIT = 100_000;
  private static final long SEED = 2026;

  /** An ELF executable of random code at 1 MiB. */
  private static byte[] image(boolean wide, SplittableRandom random) {
    byte[] bytes = new byte[128 + CODE_BYTES];
    random.nextBytes(bytes);
    ByteBuffer image = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    image.putInt(0, 0x464c457f);
    image.put(4, (byte) (wide ? 2 : 1)).put(5, (byte) 1);
    image.putShort(16, (short) 2).putShort(18, (short) (wide ? 62 : 3));
    if (wide) {
      image.putLong(24, 0x100000).putLong(32, 64).putShort(54, (short) 56).putShort(56, (short) 1);
      image.putInt(64, 1).putLong(72, 128).putLong(80, 0x100000).putLong(88, 0x100000);
      image.putLong(96, CODE_BYTES).putLong(104, CODE_BYTES);
    } else {
      image.putInt(24, 0x100000).putInt(28, 52).putShort(42, (short) 32).putShort(44, (short) 1);
      image.putInt(52, 1).putInt(56, 128).putInt(60, 0x100000).putInt(64, 0x100000);
      image.putInt(68, CODE_BYTES).putInt(72, CODE_BYTES);
    }
    return bytes;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void randomCodeEndsInOrder(boolean wide) {
    SplittableRandom random = new SplittableRandom(SEED);
    for (int guest = 0; guest < GUESTS; guest++) {
      byte[] image = image(wide, random);
      try (Machine machine =
          new Machine(
              MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1)
                  .withTestDevices(MachineConfiguration.DEFAULT_DEBUG_EXIT_PORT))) {
        machine.load(BootImage.of(BootFile.of("random", image)), "", List.of());
        machine.run(new RunLimits(LIMIT, 10 * LIMIT));
      } catch (GuestTroubleException trouble) {
        assertTrue(trouble.getMessage().contains("RIP "), trouble.getMessage());
      } catch (RuntimeException e) {
        fail("guest %d of seed %d, 64-bit %b (RandomGuestTest)".formatted(guest, SEED, wide), e);
      }
    }
  }
}
