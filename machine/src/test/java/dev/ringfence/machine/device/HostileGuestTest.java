package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.ringfence.machine.device.host.RamDisk;
import dev.ringfence.machine.interrupt.InterruptSource.InvalidRegisterException;
import dev.ringfence.machine.interrupt.LocalApic;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever a guest writes to whatever register: no device throws, and the state that results can be
 * saved and restored. A failure names the seed.
 */
final class HostileGuestTest {
  private static final int ACCESSES = 60_000;

  /** First port and number of ports of each group of registers, weighted by repetition. */
  private static final int[][] PORTS = {
    {0x20, 2}, {0xa0, 2}, {0x4d0, 2}, {0x40, 4}, {0x40, 4}, {0x60, 5}, {0x70, 2}, {0x70, 2},
    {0x92, 1}, {0xe0, 12}, {0xf4, 4}, {0x2f8, 8}, {0x3f8, 8}, {0x510, 2}, {0x600, 12}, {0xcf8, 8},
    {0xcf8, 8}, {0xcfc, 4}, {0x2000, 24}, {0, 0x1_0000}
  };

  private static final long[][] MEMORY = {
    {0xfec0_0000L, 0x50}, {0xfee0_0000L, 0x400}, {0xfee0_0000L, 0x1000}, {0xfee0_1000L, 0xff000},
    {0xfed0_0000L, 0x400}, {0xe000_0000L, 0x40}, {0xe000_0000L, 0x1_0000}, {0xff00_0000L, 0x1_0000}
  };

  private static long value(Random random) {
    return switch (random.nextInt(6)) {
      case 0 -> random.nextInt(8);
      case 1 -> 1L << random.nextInt(64);
      case 2 -> -1;
      case 3 -> random.nextInt(256);
      case 4 -> random.nextInt(16 << 20) & ~0xf;
      default -> random.nextLong();
    };
  }

  private static void access(Board board, Random random) throws InvalidRegisterException {
    int bytes = 1 << random.nextInt(3);
    switch (random.nextInt(8)) {
      case 0, 1, 2 -> {
        int[] group = PORTS[random.nextInt(PORTS.length)];
        int port = group[0] + random.nextInt(group[1]);
        if (random.nextBoolean()) {
          board.ports.write(port, bytes, value(random));
        } else {
          long unused = board.ports.read(port, bytes);
        }
      }
      case 3, 4, 5 -> {
        long[] group = MEMORY[random.nextInt(MEMORY.length)];
        long address = group[0] + random.nextLong(group[1]);
        if (random.nextInt(4) > 0) {
          address &= -4L;
          bytes = 4;
        }
        if (random.nextInt(4) > 0) {
          board.memory.devices().write(address, bytes, value(random));
        } else {
          long unused = board.memory.devices().read(address, bytes);
        }
      }
      case 6 -> {
        board.accessing = random.nextInt(2);
        LocalApic apic = board.platform.localApics().get(random.nextInt(2));
        switch (random.nextInt(7)) {
          case 0 -> apic.setBase(value(random));
          case 1 -> apic.setBase(0xfee0_0000L | random.nextInt(4) << 10);
          case 2 -> apic.writeX2Apic(0x800 + random.nextInt(0x100), value(random));
          case 3 -> {
            long unused = apic.readX2Apic(0x800 + random.nextInt(0x100));
          }
          case 4 -> apic.setTscDeadline(value(random));
          default -> {
            if (apic.hasInterrupt()) {
              int unused = apic.acknowledge();
            }
          }
        }
      }
      default -> board.advanceTo(board.clock.now() + random.nextInt(20_000));
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
  void randomAccessesDoNoHarm(long seed) {
    Random random = new Random(seed);
    try (Board board = new Board(new RamDisk(1 << 20));
        Board second = new Board(new RamDisk(1 << 20))) {
      for (int i = 0; i < ACCESSES; i++) {
        try {
          access(board, random);
        } catch (InvalidRegisterException e) {
          // The processor would raise #GP.
        } catch (RuntimeException | Error e) {
          fail("seed " + seed + ", access " + i, e);
        }
      }
      byte[] state = board.save();
      second.restore(state);
      assertArrayEquals(state, second.save(), "seed " + seed);
    }
  }
}
