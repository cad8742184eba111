package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;

/**
 * Entropy source (virtio 1.2, section 5.4). Its bytes are a function of the run's seed, so that
 * runs are reproducible; a guest must not rely on them for secrets.
 */
public final class VirtioEntropy implements VirtioDevice {
  private static final int REQUESTS = 0;
  private static final int QUEUE_SIZE = 8;

  /** Most bytes given for one request; drivers ask again if they want more. */
  private static final int MAXIMUM_BYTES = 4096;

  private final VirtioPci transport;
  private long state;

  /**
   * Creates the device with its transport.
   *
   * @param name of the sections in a snapshot
   */
  public VirtioEntropy(String name, PhysicalMemory memory, ApicBus bus, long seed) {
    this.state = seed;
    this.transport = new VirtioPci(name, this, memory, bus);
  }

  /** The transport, for the host bridge. */
  public VirtioPci transport() {
    return transport;
  }

  /** SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
  private long nextLong() {
    state += 0x9e37_79b9_7f4a_7c15L;
    long mixed = (state ^ state >>> 30) * 0xbf58_476d_1ce4_e5b9L;
    mixed = (mixed ^ mixed >>> 27) * 0x94d0_49bb_1331_11ebL;
    return mixed ^ mixed >>> 31;
  }

  @Override
  public int type() {
    return 4;
  }

  @Override
  public int classCode() {
    return 0xff_0000;
  }

  @Override
  public long features() {
    return 0;
  }

  @Override
  public int[] queueSizes() {
    return new int[] {QUEUE_SIZE};
  }

  @Override
  public byte[] configuration() {
    return new byte[0];
  }

  @Override
  public void notified(int index) throws VirtQueueException {
    VirtQueue queue = transport.queue(REQUESTS);
    queue.beginRound();
    for (DescriptorChain chain = queue.next(); chain != null; chain = queue.next()) {
      byte[] bytes = new byte[Math.min(chain.writableBytes(), MAXIMUM_BYTES)];
      long word = 0;
      for (int i = 0; i < bytes.length; i++) {
        word = i % 8 == 0 ? nextLong() : word >>> 8;
        bytes[i] = (byte) word;
      }
      chain.write(bytes);
      queue.complete(chain);
    }
    transport.finishRound(REQUESTS);
  }

  @Override
  public void reset() {
    // The sequence goes on, so that a driver that resets the device does not get the same bytes.
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(state);
  }

  @Override
  public void restore(StateReader in) {
    state = in.readLong();
  }
}
