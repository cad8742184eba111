package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;

/** What is specific to a kind of virtio device; the transport does the rest. */
interface VirtioDevice {
  /** Device type (virtio 1.2, chapter 5). */
  int type();

  /** PCI class code, 24 bits. */
  int classCode();

  /** Feature bits of this kind of device. */
  long features();

  /** Largest size of each queue. */
  int[] queueSizes();

  /** The device configuration as the driver reads it. */
  byte[] configuration();

  /** The driver says that a queue has chains, or has become ready. */
  void notified(int queue) throws VirtQueueException;

  /** The driver reset the device. */
  void reset();

  void save(StateWriter out);

  void restore(StateReader in);
}
