package dev.ringfence.machine.device.host;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.io.IOException;

/**
 * The content of a disk. Offsets and lengths are in bytes, multiples of 512, and inside the disk.
 */
public interface BlockBackend extends AutoCloseable {
  /** Bytes of a sector. */
  int SECTOR = 512;

  /** Size of the disk in bytes, a multiple of {@link #SECTOR}. */
  long size();

  /** Whether writes are refused. */
  boolean isReadOnly();

  /** Copies content of the disk to an array. */
  void read(long offset, byte[] target, int start, int length) throws IOException;

  /** Changes content of the disk. */
  void write(long offset, byte[] source, int start, int length) throws IOException;

  /** Makes a range read as zeros. */
  void writeZeroes(long offset, long length) throws IOException;

  /** The guest does not need a range any more: what it reads there afterwards does not matter. */
  void discard(long offset, long length) throws IOException;

  /** Makes everything written so far durable. */
  void flush() throws IOException;

  /** Writes what a snapshot needs to bring the content back. */
  void save(StateWriter out);

  /** Reads what {@link #save} wrote; throws if the content cannot be brought back. */
  void restore(StateReader in);

  @Override
  void close() throws IOException;
}
