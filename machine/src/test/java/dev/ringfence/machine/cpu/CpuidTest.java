package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** CPUID of the Skylake server against SDM volume 2, CPUID. */
class CpuidTest {
  private final SystemFixture f = new SystemFixture();

  @BeforeEach
  void enter() {
    f.longMode(3);
  }

  @AfterEach
  void close() {
    f.close();
  }

  private int[] leaf(int leaf, int subleaf) {
    f.state.r[Slot.RAX] = leaf & 0xffffffffL;
    f.state.r[Slot.RCX] = subleaf & 0xffffffffL;
    f.run("0f a2");
    int[] result = new int[4];
    int[] registers = {Slot.RAX, Slot.RBX, Slot.RCX, Slot.RDX};
    for (int i = 0; i < 4; i++) {
      assertEquals(0, f.state.r[registers[i]] >>> 32, "upper halves are zero");
      result[i] = (int) f.state.r[registers[i]];
    }
    return result;
  }

  private static String text(int... words) {
    ByteBuffer buffer = ByteBuffer.allocate(4 * words.length).order(ByteOrder.LITTLE_ENDIAN);
    for (int word : words) {
      buffer.putInt(word);
    }
    return new String(buffer.array(), StandardCharsets.US_ASCII);
  }

  @Test
  void vendorAndBrand() {
    int[] leaf = leaf(0, 0);
    assertEquals(0x16, leaf[0]);
    assertEquals("GenuineIntel", text(leaf[1], leaf[3], leaf[2]));
    String brand =
        text(leaf(0x80000002, 0)) + text(leaf(0x80000003, 0)) + text(leaf(0x80000004, 0));
    assertTrue(brand.startsWith("Intel(R) Xeon(R) Gold 6150 CPU @ 2.70GHz\0"), brand);
    assertEquals(0x80000008, leaf(0x80000000, 0)[0]);
  }

  @Test
  void exactlyTheFeaturesOfTheModelAreReported() {
    Map<Long, Integer> expected = new HashMap<>();
    for (String name : f.processor.model().features()) {
      Feature feature = Feature.of(name).orElseThrow();
      long key = (long) feature.leaf() << 8 | feature.subleaf() << 4 | feature.register();
      expected.merge(key, 1 << feature.bit(), (a, b) -> a | b);
    }
    f.processor.setCount(2);
    int[][] words = {
      {1, 0, 2},
      {1, 0, 3},
      {6, 0, 0},
      {7, 0, 1},
      {7, 0, 2},
      {7, 0, 3},
      {0xd, 1, 0},
      {0x80000001, 0, 2},
      {0x80000001, 0, 3},
      {0x80000007, 0, 3}
    };
    for (int[] word : words) {
      long key = (long) word[0] << 8 | word[1] << 4 | word[2];
      assertEquals(
          Integer.toHexString(expected.getOrDefault(key, 0)),
          Integer.toHexString(leaf(word[0], word[1])[word[2]]),
          () -> "leaf %x.%x register %d".formatted(word[0], word[1], word[2]));
    }
  }

  @Test
  void featuresThatLinuxWouldMissAreAbsent() {
    int ecx = leaf(1, 0)[2];
    // PCLMULQDQ, MONITOR, FMA, AES, AVX, F16C, hypervisor.
    assertEquals(0, ecx & (1 << 1 | 1 << 3 | 1 << 12 | 1 << 25 | 1 << 28 | 1 << 29 | 1 << 31));
    // BMI1, AVX2, BMI2, ADX.
    int ebx = leaf(7, 0)[1];
    assertEquals(0, ebx & (1 << 3 | 1 << 5 | 1 << 8 | 1 << 19));
    assertEquals(0, leaf(0xa, 0)[0], "no performance counters");
    assertEquals(0, leaf(5, 0)[0], "no MONITOR lines");
  }

  @Test
  void featuresThatStateSwitches() {
    assertEquals(0, leaf(1, 0)[2] & 1 << 27);
    f.state.cr4 |= ControlBits.CR4_OSXSAVE;
    assertNotEquals(0, leaf(1, 0)[2] & 1 << 27, "OSXSAVE follows CR4");
    f.apic.apicBase &= ~0x800;
    assertEquals(0, leaf(1, 0)[3] & 1 << 9, "APIC follows IA32_APIC_BASE");
    f.compatibilityMode(3);
    assertEquals(0, leaf(0x80000001, 0)[3] & 1 << 11, "SYSCALL in 64-bit mode only");
  }

  @Test
  void topologyIsOnePackageOfSingleThreadCores() {
    f.processor.setCount(3);
    assertEquals(4, leaf(1, 0)[1] >>> 16 & 0xff);
    assertEquals(3, leaf(4, 0)[0] >>> 26);
    assertArrayEquals(new int[] {0, 1, 0x100, 0}, leaf(0xb, 0));
    assertArrayEquals(new int[] {2, 3, 0x201, 0}, leaf(0xb, 1));
    assertArrayEquals(new int[] {0, 0, 2, 0}, leaf(0xb, 2));
    f.processor.setCount(1);
    assertEquals(0, leaf(1, 0)[3] & 1 << 28, "HTT needs more than one");
    assertArrayEquals(new int[] {0, 1, 0x201, 0}, leaf(0xb, 1));
  }

  @Test
  void caches() {
    int[] kilobytes = {32, 32, 1024, 25344};
    for (int i = 0; i < 4; i++) {
      int[] cache = leaf(4, i);
      int bytes =
          ((cache[1] >>> 22) + 1)
              * ((cache[1] >>> 12 & 0x3ff) + 1)
              * ((cache[1] & 0xfff) + 1)
              * (cache[2] + 1);
      assertEquals(kilobytes[i] * 1024, bytes);
    }
    assertEquals(0, leaf(4, 4)[0]);
    assertEquals(1024, leaf(0x80000006, 0)[2] >>> 16);
    assertArrayEquals(new int[] {0x76036301, 0x00f0b5ff, 0, 0x00c30000}, leaf(2, 0));
  }

  @Test
  void extendedStateIsX87AndSse() {
    assertArrayEquals(new int[] {3, 576, 576, 0}, leaf(0xd, 0));
    assertEquals(1, leaf(0xd, 1)[0], "XSAVEOPT and no more");
    assertArrayEquals(new int[4], leaf(0xd, 2));
  }

  @Test
  void clocksMakeTheTscFrequency() {
    int[] leaf = leaf(0x15, 0);
    assertEquals(2_700_000_000L, (long) leaf[2] * leaf[1] / leaf[0]);
    assertEquals(2700, leaf(0x16, 0)[0]);
  }

  @Test
  void leavesBeyondTheLastReturnTheLastBasicOne() {
    int[] last = leaf(0x16, 0);
    assertArrayEquals(last, leaf(0x17, 0));
    assertArrayEquals(last, leaf(0x40000000, 0));
    assertArrayEquals(last, leaf(0x80000009, 0));
  }

  @Test
  void addressWidths() {
    assertEquals(48 << 8 | 46, leaf(0x80000008, 0)[0]);
  }

  /**
   * Linux then idles by HLT. MONITOR and MWAIT are undefined without CPUID.1:ECX[3] (SDM volume 2).
   */
  @Test
  void monitorIsNotReportedAndUndefined() {
    assertEquals(0, leaf(1, 0)[2] & 1 << 3);
    for (String hex : new String[] {"0f 01 c8", "0f 01 c9"}) {
      f.longMode(0);
      f.expect(ProcessorException.INVALID_OPCODE, hex);
    }
  }
}
