package dev.ringfence.machine.memory;

/**
 * A device with an 8-bit bus, as those of the ISA bus are: a wider access reaches it as one access
 * for each byte, the lowest first.
 */
public record ByteWideRegion(IoRegion device) implements IoRegion {
  @Override
  public long read(long offset, int bytes) {
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      value |= (device.read(offset + i, 1) & 0xff) << (8 * i);
    }
    return value;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    for (int i = 0; i < bytes; i++) {
      device.write(offset + i, 1, value >>> (8 * i) & 0xff);
    }
  }
}
