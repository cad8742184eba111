package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.device.host.ConsoleOutput;
import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.util.ArrayDeque;

/** Console with one port (virtio 1.2, section 5.3): queue 0 receives, queue 1 transmits. */
public final class VirtioConsole implements VirtioDevice {
  private static final int RECEIVE = 0;
  private static final int TRANSMIT = 1;
  private static final int QUEUE_SIZE = 64;

  private final VirtioPci transport;
  private final ConsoleOutput output;

  /** Input for which the driver gave no buffer yet. */
  private final ArrayDeque<Byte> waiting = new ArrayDeque<>();

  /**
   * Creates the device with its transport.
   *
   * @param name of the sections in a snapshot
   */
  public VirtioConsole(String name, PhysicalMemory memory, ApicBus bus, ConsoleOutput output) {
    this.output = output;
    this.transport = new VirtioPci(name, this, memory, bus);
  }

  /** The transport, for the host bridge. */
  public VirtioPci transport() {
    return transport;
  }

  /** Offers bytes to the guest. */
  public void receive(byte[] bytes) {
    for (byte value : bytes) {
      waiting.add(value);
    }
    transport.whileRunning(this::fill);
  }

  private void fill() throws VirtQueueException {
    VirtQueue queue = transport.queue(RECEIVE);
    while (!waiting.isEmpty() && queue.hasAvailable()) {
      DescriptorChain chain = queue.take();
      if (chain.writableBytes() == 0) {
        // Each turn uses up input, so a ring that overlaps itself cannot keep this loop alive.
        throw new VirtQueueException("a buffer for input has no room");
      }
      byte[] bytes = new byte[Math.min(waiting.size(), chain.writableBytes())];
      for (int i = 0; i < bytes.length; i++) {
        bytes[i] = waiting.remove();
      }
      chain.write(bytes);
      queue.complete(chain);
    }
    transport.finishRound(RECEIVE);
  }

  private void drain() throws VirtQueueException {
    VirtQueue queue = transport.queue(TRANSMIT);
    queue.beginRound();
    for (DescriptorChain chain = queue.next(); chain != null; chain = queue.next()) {
      for (byte value : chain.read(chain.readableBytes())) {
        output.write(value & 0xff);
      }
      queue.complete(chain);
    }
    transport.finishRound(TRANSMIT);
  }

  @Override
  public int type() {
    return 3;
  }

  @Override
  public int classCode() {
    return 0x07_8000;
  }

  @Override
  public long features() {
    return 0;
  }

  @Override
  public int[] queueSizes() {
    return new int[] {QUEUE_SIZE, QUEUE_SIZE};
  }

  @Override
  public byte[] configuration() {
    return new byte[12];
  }

  @Override
  public void notified(int queue) throws VirtQueueException {
    if (queue == RECEIVE) {
      fill();
    } else {
      drain();
    }
  }

  @Override
  public void reset() {
    // Input that waits is the host's and outlives a reset of the device.
  }

  @Override
  public void save(StateWriter out) {
    byte[] input = new byte[waiting.size()];
    int at = 0;
    for (byte value : waiting) {
      input[at++] = value;
    }
    out.writeInt(input.length);
    out.writeBytes(input);
  }

  @Override
  public void restore(StateReader in) {
    waiting.clear();
    for (byte value : in.readBytes(in.readInt("bytes of waiting input", 0, 1 << 24))) {
      waiting.add(value);
    }
  }
}
