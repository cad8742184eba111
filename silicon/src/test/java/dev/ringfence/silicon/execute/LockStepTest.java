package dev.ringfence.silicon.execute;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.BareGuest;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random programs come to the same registers, memory, translations and counts with silicon and
 * without. All its mechanisms of leaking are on, so that wrong paths do as much as they can.
 */
@Tag("slow")
class LockStepTest {
  private static final int PROGRAMS = 40;
  private static final int LENGTH = 120;

  /** Registers that hold addresses of data; the others hold anything. */
  private static final int[] BASES = {Assembler.RSI, Assembler.RDI, Assembler.R13};

  private static final int[] VALUES = {
    Assembler.RAX, Assembler.RBX, Assembler.RDX, Assembler.R8, Assembler.R9, Assembler.R14
  };

  @ParameterizedTest
  @ValueSource(strings = {"INSTRUCTIONS", "CYCLES"})
  void randomProgramsComeToTheSame(TimeBase timeBase) {
    for (int seed = 0; seed < PROGRAMS; seed++) {
      String without = outcome(seed, null, timeBase);
      String with = outcome(seed, SiliconModel.load("skylake-server"), timeBase);
      int number = seed;
      assertEquals(without, with, () -> "program " + number);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"INSTRUCTIONS", "CYCLES"})
  void randomProgramsOfVirtualMachinesComeToTheSame(TimeBase timeBase) {
    for (int seed = 0; seed < PROGRAMS / 2; seed++) {
      String without = outcomeOfGuest(seed, null, timeBase);
      String with = outcomeOfGuest(seed, SiliconModel.load("skylake-server"), timeBase);
      int number = seed;
      assertEquals(without, with, () -> "program " + number);
    }
  }

  private static String outcomeOfGuest(
      int seed, @Nullable SiliconModel silicon, TimeBase timeBase) {
    try (BareGuest guest = new BareGuest(silicon, timeBase)) {
      BareCore bare = guest.host;
      Random random = new Random(seed);
      byte[] data = new byte[0x3000];
      random.nextBytes(data);
      bare.memory.write(BareGuest.MEMORY + BareGuest.DATA, data, 0, data.length);
      // One page without its bits, one of the host's frames that is not there.
      guest.map(BareGuest.DATA, BareGuest.DATA | BareCore.PRESENT | BareCore.WRITABLE);
      guest.map(BareGuest.DATA + 0x2000, BareGuest.DATA);
      guest.place(program(random, BareGuest.DATA, seed % 2 == 1, true));
      guest.run(new Assembler());
      String time = timeBase == TimeBase.INSTRUCTIONS ? " time " + bare.processor.time() : "";
      return "rip %x raised %d count %d%s cr2 %x registers %s memory %s"
          .formatted(
              guest.guestRip(),
              guest.raised(),
              bare.processor.instructions(),
              time,
              bare.state.cr2,
              Arrays.toString(Arrays.copyOf(bare.state.r, Slot.ZERO)),
              digest(bare));
    }
  }

  private static String outcome(int seed, @Nullable SiliconModel silicon, TimeBase timeBase) {
    try (BareCore bare = new BareCore(silicon, timeBase)) {
      Random random = new Random(seed);
      byte[] data = new byte[0x3000];
      random.nextBytes(data);
      bare.memory.write(BareCore.DATA, data, 0, data.length);
      // One page without its bits, one that cannot be written, one that is not there.
      bare.map(BareCore.USER + BareCore.DATA, BareCore.DATA, 7);
      bare.map(BareCore.USER + BareCore.DATA + 0x1000, BareCore.DATA + 0x1000, 5);
      bare.map(BareCore.USER + BareCore.DATA + 0x2000, BareCore.DATA, 6);
      if (seed % 2 == 0) {
        bare.run(program(random, BareCore.DATA, false, false));
      } else {
        bare.runUser(program(random, BareCore.USER + BareCore.DATA, true, false));
      }
      String time = timeBase == TimeBase.INSTRUCTIONS ? " time " + bare.processor.time() : "";
      assertTrue(bare.processor.instructions() > 0);
      return "rip %x raised %d count %d%s flags %x cr2 %x registers %s memory %s"
          .formatted(
              bare.state.rip,
              bare.raised(),
              bare.processor.instructions(),
              time,
              bare.state.rflags(),
              bare.state.cr2,
              Arrays.toString(Arrays.copyOf(bare.state.r, Slot.ZERO)),
              digest(bare));
    }
  }

  private static String digest(BareCore bare) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      bare.memory.digest(digest);
      digest.update(ByteBuffer.allocate(8).putLong(bare.state.cr3).array());
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  /**
   * A loop over random instructions, with branches that depend on data.
   *
   * @param faults whether it may leave its first page of data
   * @param guest whether it runs in a virtual machine: then some instructions exit, and it ends by
   *     halting
   */
  private static Assembler program(Random random, long data, boolean faults, boolean guest) {
    Assembler code = new Assembler();
    for (int base : BASES) {
      code.set(base, data + random.nextInt(faults ? 0x2800 : 0x1000));
    }
    for (int value : VALUES) {
      code.set(value, random.nextLong());
    }
    code.set(Assembler.RCX, 20);
    Label again = new Label();
    Label skip = null;
    code.label(again);
    for (int i = 0; i < LENGTH; i++) {
      int to = VALUES[random.nextInt(VALUES.length)];
      int from = VALUES[random.nextInt(VALUES.length)];
      int base = BASES[random.nextInt(BASES.length)];
      int offset = random.nextInt(0x400);
      switch (random.nextInt(guest ? 17 : 16)) {
        case 0 -> code.add(to, from);
        case 1 -> code.xor(to, from);
        case 2 -> code.subtract(to, from);
        case 3 -> code.multiply(to, from);
        case 4 -> code.shiftLeft(to, random.nextInt(64));
        case 5, 6 -> code.load(to, base, offset);
        case 7 -> code.loadByte(to, base, offset);
        case 8, 9 -> code.store(base, offset, from);
        case 10 -> code.push(from).pop(to);
        case 11 -> code.flushLine(base, offset);
        case 12 -> {
          if (skip == null) {
            skip = new Label();
            code.compare(to, from).jumpIf(random.nextInt(16), skip);
          }
        }
        case 13 -> {
          if (skip != null) {
            code.label(skip);
            skip = null;
          }
        }
        case 14 -> {
          Label callee = new Label();
          Label behind = new Label();
          code.call(callee).jump(behind).label(callee).add(to, from).giveBack().label(behind);
        }
        case 15 -> code.set(to, random.nextInt(100));
        default -> code.bytes(0x0f, 0x01, 0xc1); // VMCALL
      }
    }
    if (skip != null) {
      code.label(skip);
    }
    code.addConstant(Assembler.RCX, -1).jumpIf(Assembler.NOT_EQUAL, again);
    return faults && !guest ? code.breakpoint() : code.halt();
  }
}
