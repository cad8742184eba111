package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What AMD processors do otherwise, against APM volume 3 and its appendix E. */
class AmdCpuidTest {
  private static final int UD = ProcessorException.INVALID_OPCODE;

  private SystemFixture f = new SystemFixture(CpuModel.load("zen2"));

  @AfterEach
  void close() {
    f.close();
  }

  private void on(String model) {
    f.close();
    f = new SystemFixture(CpuModel.load(model));
  }

  private int[] leaf(int leaf, int subleaf) {
    f.longMode(3);
    return run(leaf, subleaf);
  }

  private int[] run(int leaf, int subleaf) {
    f.state.r[Slot.RAX] = leaf & 0xffffffffL;
    f.state.r[Slot.RCX] = subleaf & 0xffffffffL;
    f.run("0f a2");
    return new int[] {
      (int) f.state.r[Slot.RAX],
      (int) f.state.r[Slot.RBX],
      (int) f.state.r[Slot.RCX],
      (int) f.state.r[Slot.RDX]
    };
  }

  @Test
  void vendorAndSignature() {
    int[] leaf = leaf(0, 0);
    ByteBuffer vendor = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    vendor.putInt(leaf[1]).putInt(leaf[3]).putInt(leaf[2]);
    assertEquals("AuthenticAMD", new String(vendor.array(), StandardCharsets.US_ASCII));
    assertEquals(0x00830f10, leaf(1, 0)[0]);
    assertEquals(0x00830f10, leaf(0x80000001, 0)[0]);
    on("zen1");
    assertEquals(0x00800f12, leaf(1, 0)[0]);
    on("zen4");
    assertEquals(0x00a10f11, leaf(1, 0)[0]);
  }

  @Test
  void reservedLeavesAreZero() {
    for (int leaf : List.of(2, 4, 0x11, 0x15, 0x16, 0x40000000, 0x80000022)) {
      assertArrayEquals(new int[4], leaf(leaf, 0), Integer.toHexString(leaf));
    }
  }

  @Test
  void cachesAreInLeavesOfTheirOwn() {
    int[] kilobytes = {32, 32, 512, 16384};
    for (int i = 0; i < 4; i++) {
      int[] cache = leaf(0x8000001d, i);
      int bytes = ((cache[1] >>> 22) + 1) * ((cache[1] & 0xfff) + 1) * (cache[2] + 1);
      assertEquals(kilobytes[i] * 1024, bytes);
      assertEquals(0, cache[0] >>> 26, "reserved");
    }
    assertEquals(0, leaf(0x8000001d, 4)[0]);
    // 32 KiB, 8 ways, one line per tag, lines of 64 bytes.
    assertEquals(0x20080140, leaf(0x80000005, 0)[2]);
    assertEquals(0x20080140, leaf(0x80000005, 0)[3]);
    // 512 KiB, 8 ways (code 6); 32 times 512 KiB, 16 ways (code 8).
    assertEquals(0x02006140, leaf(0x80000006, 0)[2]);
    assertEquals(0x00808140, leaf(0x80000006, 0)[3]);
  }

  @Test
  void topologyIsOnePackageOfSingleThreadCores() {
    f.processor.setCount(3);
    assertEquals(2 << 12 | 2, leaf(0x80000008, 0)[2], "width of identifiers, cores less one");
    assertArrayEquals(new int[] {0, 0, 0, 0}, leaf(0x8000001e, 0), "one thread a core, one node");
    assertEquals(1 << 1, leaf(0x80000001, 0)[2] & 1 << 1, "CmpLegacy");
    f.processor.setCount(1);
    assertEquals(0, leaf(0x80000001, 0)[2] & 1 << 1);
  }

  @Test
  void speculationFeaturesAreInLeaf80000008() {
    on("zen1");
    assertEquals(1 << 12, leaf(0x80000008, 0)[1] & 0x7d00_f000, "IBPB alone");
    on("zen2");
    assertEquals(
        1 << 12 | 1 << 14 | 1 << 15 | 1 << 24, leaf(0x80000008, 0)[1] & 0x7d00_f000, "no PSFD");
    assertEquals(0, leaf(7, 0)[3], "Intel's bits are not used");
    on("zen4");
    int automatic = 1 << 8;
    assertEquals(automatic, leaf(0x80000021, 0)[0] & automatic);
    assertEquals(52, leaf(0x80000008, 0)[0] & 0xff);
  }

  @Test
  void syscallWorksInCompatibilityModeAndSysenterDoesNot() {
    f.compatibilityMode(3);
    assertEquals(1 << 11, run(0x80000001, 0)[3] & 1 << 11, "reported in all modes");
    f.state.star = (long) SystemFixture.CODE64 << 32;
    f.state.lstar = 0xffffffff81000000L;
    f.state.cstar = 0xffffffff81001000L;
    f.state.fmask = Flags.IF;
    long next = f.state.rip + 2;
    f.run("0f 05");
    assertEquals(0xffffffff81001000L, f.state.rip, "CSTAR");
    assertEquals(next, f.state.r[Slot.RCX]);
    assertTrue(f.state.code64());
    assertEquals(0, f.state.cpl);
    f.longMode(3);
    f.run("0f 05");
    assertEquals(0xffffffff81000000L, f.state.rip, "LSTAR");
    f.state.sysenterCs = SystemFixture.CODE64;
    f.longMode(3);
    f.expect(UD, "0f 34");
    f.compatibilityMode(3);
    f.expect(UD, "0f 34");
    on("zen2");
    f.protectedMode(3);
    f.expect(UD, "0f 05");
  }
}
