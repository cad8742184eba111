package dev.ringfence.machine.device.host;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.IOException;
import java.util.Arrays;

/** A disk in an array. */
public final class RamDisk implements BlockBackend {
  public final byte[] content;
  public boolean readOnly;
  public boolean broken;
  public int flushes;

  public RamDisk(int size) {
    content = new byte[size];
  }

  private void fail() throws IOException {
    if (broken) {
      throw new IOException("broken disk");
    }
  }

  @Override
  public long size() {
    return content.length;
  }

  @Override
  public boolean isReadOnly() {
    return readOnly;
  }

  @Override
  public void read(long offset, byte[] target, int start, int length) throws IOException {
    fail();
    System.arraycopy(content, (int) offset, target, start, length);
  }

  @Override
  public void write(long offset, byte[] source, int start, int length) throws IOException {
    fail();
    System.arraycopy(source, start, content, (int) offset, length);
  }

  @Override
  public void writeZeroes(long offset, long length) throws IOException {
    fail();
    Arrays.fill(content, (int) offset, (int) (offset + length), (byte) 0);
  }

  @Override
  public void discard(long offset, long length) {}

  @Override
  public void flush() throws IOException {
    fail();
    flushes++;
  }

  @Override
  public void save(StateWriter out) {
    out.writeBytes(content);
  }

  @Override
  public void restore(StateReader in) {
    System.arraycopy(in.readBytes(content.length), 0, content, 0, content.length);
  }

  @Override
  public void close() {}
}
