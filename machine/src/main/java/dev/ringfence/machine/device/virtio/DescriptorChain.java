package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.List;

/**
 * Buffers that a driver made available together: first those that the device reads, then those that
 * it writes. All lie in RAM. Reading and writing move on through the buffers.
 */
final class DescriptorChain {
  private record Segment(long address, int length) {}

  private final PhysicalMemory memory;
  private final int head;
  private final List<Segment> readable = new ArrayList<>();
  private final List<Segment> writable = new ArrayList<>();
  private long readableBytes;
  private long writableBytes;
  private long read;
  private long written;

  DescriptorChain(PhysicalMemory memory, int head) {
    this.memory = memory;
    this.head = head;
  }

  int head() {
    return head;
  }

  void add(long address, int length, boolean deviceWrites) throws VirtQueueException {
    if (length < 0 || !memory.isRam(address, length)) {
      throw new VirtQueueException(
          "buffer %x of %d bytes is not in RAM".formatted(address, length & 0xffff_ffffL));
    }
    if (deviceWrites) {
      writable.add(new Segment(address, length));
      writableBytes += length;
    } else if (!writable.isEmpty()) {
      throw new VirtQueueException("a buffer to read follows one to write");
    } else {
      readable.add(new Segment(address, length));
      readableBytes += length;
    }
    if (readableBytes + writableBytes > VirtQueue.MAXIMUM_BYTES) {
      throw new VirtQueueException("more than " + VirtQueue.MAXIMUM_BYTES + " bytes in one chain");
    }
  }

  /** Bytes not read yet. */
  int readableBytes() {
    return (int) (readableBytes - read);
  }

  /** Bytes that have room and were not written yet. */
  int writableBytes() {
    return (int) (writableBytes - written);
  }

  /** Bytes written so far, which the driver learns. */
  int written() {
    return (int) written;
  }

  /** Reads up to {@code length} bytes and returns them. */
  byte[] read(int length) {
    byte[] result = new byte[Math.min(length, readableBytes())];
    transfer(readable, read, result, false);
    read += result.length;
    return result;
  }

  /** Writes as many of the bytes as there is room for. */
  void write(byte[] bytes) {
    byte[] fitting = bytes;
    if (bytes.length > writableBytes()) {
      fitting = java.util.Arrays.copyOf(bytes, writableBytes());
    }
    transfer(writable, written, fitting, true);
    written += fitting.length;
  }

  /** Skips room, which the driver must not take for data: the bytes keep their content. */
  void skip(int length) {
    written += Math.min(length, writableBytes());
  }

  private void transfer(List<Segment> segments, long position, byte[] bytes, boolean toMemory) {
    long start = 0;
    int done = 0;
    for (Segment segment : segments) {
      long inSegment = position + done - start;
      if (inSegment < segment.length && done < bytes.length) {
        int count = (int) Math.min(segment.length - inSegment, bytes.length - done);
        if (toMemory) {
          memory.write(segment.address + inSegment, bytes, done, count);
        } else {
          memory.read(segment.address + inSegment, bytes, done, count);
        }
        done += count;
      }
      start += segment.length;
    }
  }
}
