package dev.ringfence.machine.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Wide accesses to 8-bit devices. */
final class ByteWideRegionTest {
  private final List<String> accesses = new ArrayList<>();
  private final ByteWideRegion region =
      new ByteWideRegion(
          new IoRegion() {
            @Override
            public long read(long offset, int bytes) {
              return -1L << 4 | offset;
            }

            @Override
            public void write(long offset, int bytes, long value) {
              accesses.add("%d:%d:%x".formatted(offset, bytes, value));
            }
          });

  @Test
  void aWideReadIsAssembledFromBytes() {
    assertEquals(0xf3f2f1f0L, region.read(0, 4));
    assertEquals(0xf7, region.read(7, 1));
  }

  @Test
  void aWideWriteIsSplitLowestByteFirst() {
    region.write(2, 2, 0x1234);
    assertEquals(List.of("2:1:34", "3:1:12"), accesses);
  }
}
