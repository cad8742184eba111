package dev.ringfence.machine.virtualization;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.interpret.ExecutionOutsideMemory;
import dev.ringfence.machine.interrupt.TripleFault;
import dev.ringfence.machine.translate.TranslationMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * Virtual machines whose structure and extended page tables hold nonsense: entries fail, machines
 * exit or shut down, and the host goes on.
 */
class RandomStructuresTest {
  private static final int CASES = 1000;
  private static final int[] INTERESTING = {0, 1, 2, 7, 0x1000, 0xffff, 0x80000000, -1};

  @Test
  void nonsenseNeverCrashes() {
    long seed = Long.getLong("ringfence.seed", new Random().nextLong());
    Random random = new Random(seed);
    int entered = 0;
    int refused = 0;
    for (int i = 0; i < CASES; i++) {
      List<String> changes = new ArrayList<>();
      try (BareHost host = new BareHost(TranslationMode.OFF)) {
        prepare(host, random, changes);
        host.bare.place(BareProcessor.CODE, "0f01c2 f4".replace(" ", ""));
        host.bare.state.rip = BareProcessor.CODE;
        host.bare.go(2000);
        if (host.bare.processor.vmx().nonRoot()) {
          entered++;
        } else {
          assertTrue(host.bare.state.longMode());
          refused += host.bare.state.rip == BareProcessor.CODE + 4 ? 1 : 0;
        }
      } catch (TripleFault | ExecutionOutsideMemory e) {
        assertFalse(e.getMessage().isEmpty());
      } catch (RuntimeException | Error e) {
        throw new AssertionError(
            "-Dringfence.seed=%d, case %d, with %s".formatted(seed, i, changes), e);
      }
    }
    assertTrue(entered > 0 && refused > CASES / 10, entered + " ran on, " + refused + " refused");
  }

  private static void prepare(BareHost host, Random random, List<String> changes) {
    if (random.nextBoolean()) {
      host.longMode();
    }
    byte[] code = new byte[64];
    random.nextBytes(code);
    host.bare.memory.write(BareHost.GUEST_MEMORY + BareHost.CODE, code, 0, code.length);
    VmcsField[] fields = VmcsField.values();
    for (int n = random.nextInt(4); n > 0; n--) {
      VmcsField field = fields[random.nextInt(fields.length)];
      if (!field.readOnly()) {
        long value = value(host, field, random);
        host.set(field, value);
        changes.add(field + "=" + Long.toHexString(value));
      }
    }
    for (int n = random.nextInt(3); n > 0; n--) {
      long at = BareHost.EPT + random.nextInt(4) * 4096L + random.nextInt(16) * 8L;
      long entry = entry(random);
      host.bare.memory.writeLong(at, entry);
      changes.add("[%x]=%x".formatted(at, entry));
    }
  }

  private static long value(BareHost host, VmcsField field, Random random) {
    return switch (random.nextInt(4)) {
      case 0 -> host.get(field) ^ 1L << random.nextInt(64);
      case 1 -> INTERESTING[random.nextInt(INTERESTING.length)];
      case 2 -> random.nextInt(0x200_0000) & ~0xfffL;
      default -> random.nextLong();
    };
  }

  /** Malformed ones, ones that lead to tables above, and ones that lead outside memory. */
  private static long entry(Random random) {
    return switch (random.nextInt(3)) {
      case 0 -> random.nextLong();
      case 1 -> BareHost.EPT + random.nextInt(4) * 4096L | random.nextInt(256);
      default -> (long) random.nextInt() << 12 & 0x3fff_ffff_f000L | 0x37;
    };
  }
}
