package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.device.host.BlockBackend;
import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.time.VirtualClock;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Block device (virtio 1.2, section 5.2) with one queue.
 *
 * <p>Requests are served {@link #LATENCY} after the notification, all that have arrived by then: a
 * disk that answered at once would spare the guest the context switches that a real one costs it.
 */
public final class VirtioBlock implements VirtioDevice {
  /** Virtual time from notification to completion: that of a fast solid-state disk. */
  static final long LATENCY = 50_000;

  private static final int QUEUE = 0;
  private static final int QUEUE_SIZE = 256;
  private static final int SECTOR = BlockBackend.SECTOR;
  private static final int CHUNK = 1 << 20;

  /** Most sectors of one discard or write-zeroes request: 1 GiB. */
  private static final int MAXIMUM_ZERO_SECTORS = 1 << 21;

  private static final long FEATURE_SEGMENTS_MAXIMUM = 1L << 2;
  private static final long FEATURE_READ_ONLY = 1L << 5;
  private static final long FEATURE_BLOCK_SIZE = 1L << 6;
  private static final long FEATURE_FLUSH = 1L << 9;
  private static final long FEATURE_DISCARD = 1L << 13;
  private static final long FEATURE_WRITE_ZEROES = 1L << 14;

  private static final int REQUEST_IN = 0;
  private static final int REQUEST_OUT = 1;
  private static final int REQUEST_FLUSH = 4;
  private static final int REQUEST_GET_ID = 8;
  private static final int REQUEST_DISCARD = 11;
  private static final int REQUEST_WRITE_ZEROES = 13;

  private static final int HEADER_BYTES = 16;
  private static final int IDENTIFIER_BYTES = 20;
  private static final int RANGE_BYTES = 16;

  private static final int STATUS_OK = 0;
  private static final int STATUS_IO_ERROR = 1;
  private static final int STATUS_UNSUPPORTED = 2;

  private final BlockBackend backend;
  private final String identifier;
  private final VirtualClock clock;
  private final VirtualClock.Timer timer;
  private final VirtioPci transport;
  private final byte[] configuration;

  /**
   * Creates the device with its transport.
   *
   * @param name of the sections in a snapshot, and the identifier that the guest sees
   */
  public VirtioBlock(
      String name, PhysicalMemory memory, ApicBus bus, VirtualClock clock, BlockBackend backend) {
    this.backend = backend;
    this.identifier = name;
    this.clock = clock;
    this.timer = clock.createTimer(name, this::serveAll);
    this.configuration = describe(backend);
    this.transport = new VirtioPci(name, this, memory, bus);
  }

  private static byte[] describe(BlockBackend backend) {
    ByteBuffer configuration = ByteBuffer.allocate(60).order(ByteOrder.LITTLE_ENDIAN);
    configuration.putLong(0, backend.size() / SECTOR);
    configuration.putInt(12, QUEUE_SIZE - 2);
    configuration.putInt(20, SECTOR);
    configuration.putShort(34, (short) 1);
    configuration.putInt(36, MAXIMUM_ZERO_SECTORS);
    configuration.putInt(40, 1);
    configuration.putInt(44, 8);
    configuration.putInt(48, MAXIMUM_ZERO_SECTORS);
    configuration.putInt(52, 1);
    return configuration.array();
  }

  /** The transport, for the host bridge. */
  public VirtioPci transport() {
    return transport;
  }

  @Override
  public int type() {
    return 2;
  }

  @Override
  public int classCode() {
    return 0x01_0000;
  }

  @Override
  public long features() {
    long common = FEATURE_SEGMENTS_MAXIMUM | FEATURE_BLOCK_SIZE | FEATURE_FLUSH;
    return common
        | (backend.isReadOnly() ? FEATURE_READ_ONLY : FEATURE_DISCARD | FEATURE_WRITE_ZEROES);
  }

  @Override
  public int[] queueSizes() {
    return new int[] {QUEUE_SIZE};
  }

  @Override
  public byte[] configuration() {
    return configuration;
  }

  @Override
  public void notified(int queue) {
    if (timer.deadline() == VirtualClock.NEVER) {
      timer.arm(clock.now() + LATENCY);
    }
  }

  @Override
  public void reset() {
    timer.cancel();
  }

  private void serveAll() {
    transport.whileRunning(() -> {
      VirtQueue queue = transport.queue(QUEUE);
      queue.beginRound();
      for (DescriptorChain chain = queue.next(); chain != null; chain = queue.next()) {
        serve(chain);
        queue.complete(chain);
      }
      transport.finishRound(QUEUE);
    });
  }

  private void serve(DescriptorChain chain) throws VirtQueueException {
    if (chain.readableBytes() < HEADER_BYTES || chain.writableBytes() < 1) {
      throw new VirtQueueException("a block request has no room for header and status");
    }
    ByteBuffer header = ByteBuffer.wrap(chain.read(HEADER_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
    int type = header.getInt(0);
    long sector = header.getLong(8);
    int status;
    try {
      status =
          switch (type) {
            case REQUEST_IN -> readDisk(chain, sector);
            case REQUEST_OUT -> writeDisk(chain, sector);
            case REQUEST_FLUSH -> {
              backend.flush();
              yield STATUS_OK;
            }
            case REQUEST_GET_ID -> {
              byte[] bytes = identifier.getBytes(StandardCharsets.US_ASCII);
              int room = Math.min(IDENTIFIER_BYTES, chain.writableBytes() - 1);
              chain.write(Arrays.copyOf(bytes, room));
              yield STATUS_OK;
            }
            case REQUEST_DISCARD, REQUEST_WRITE_ZEROES -> clearDisk(chain, type);
            default -> STATUS_UNSUPPORTED;
          };
    } catch (IOException | UncheckedIOException e) {
      status = STATUS_IO_ERROR;
    }
    // The status is the last byte, wherever the data ended.
    chain.skip(chain.writableBytes() - 1);
    chain.write(new byte[] {(byte) status});
  }

  /** Whether a range of whole sectors lies inside the disk. */
  private boolean isInside(long sector, long bytes) {
    long sectors = backend.size() / SECTOR;
    return bytes % SECTOR == 0
        && sector >= 0
        && sector <= sectors
        && bytes / SECTOR <= sectors - sector;
  }

  private int readDisk(DescriptorChain chain, long sector) throws IOException {
    int length = chain.writableBytes() - 1;
    if (!isInside(sector, length)) {
      return STATUS_IO_ERROR;
    }
    byte[] chunk = new byte[Math.min(length, CHUNK)];
    for (int done = 0; done < length; done += chunk.length) {
      int count = Math.min(chunk.length, length - done);
      backend.read(sector * SECTOR + done, chunk, 0, count);
      chain.write(count == chunk.length ? chunk : Arrays.copyOf(chunk, count));
    }
    return STATUS_OK;
  }

  private int writeDisk(DescriptorChain chain, long sector) throws IOException {
    int length = chain.readableBytes();
    if (backend.isReadOnly() || !isInside(sector, length)) {
      return STATUS_IO_ERROR;
    }
    long at = sector * SECTOR;
    while (chain.readableBytes() > 0) {
      byte[] chunk = chain.read(CHUNK);
      backend.write(at, chunk, 0, chunk.length);
      at += chunk.length;
    }
    return STATUS_OK;
  }

  private int clearDisk(DescriptorChain chain, int type) throws IOException {
    if (backend.isReadOnly() || chain.readableBytes() != RANGE_BYTES) {
      return STATUS_IO_ERROR;
    }
    ByteBuffer range = ByteBuffer.wrap(chain.read(RANGE_BYTES)).order(ByteOrder.LITTLE_ENDIAN);
    long sector = range.getLong(0);
    long length = (range.getInt(8) & 0xffff_ffffL) * SECTOR;
    int flags = range.getInt(12);
    if (type == REQUEST_DISCARD ? flags != 0 : (flags & ~1) != 0) {
      return STATUS_UNSUPPORTED;
    }
    if (length > (long) MAXIMUM_ZERO_SECTORS * SECTOR || !isInside(sector, length)) {
      return STATUS_IO_ERROR;
    }
    if (type == REQUEST_DISCARD) {
      backend.discard(sector * SECTOR, length);
    } else {
      backend.writeZeroes(sector * SECTOR, length);
    }
    return STATUS_OK;
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(timer.deadline());
    backend.save(out);
  }

  @Override
  public void restore(StateReader in) {
    timer.arm(in.readLong());
    backend.restore(in);
  }
}
