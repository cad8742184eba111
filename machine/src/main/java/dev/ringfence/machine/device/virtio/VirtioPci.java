package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.device.pci.MessageSignals;
import dev.ringfence.machine.device.pci.PciFunction;
import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * Virtio over PCI (virtio 1.2, section 4.1), modern interface only.
 *
 * <pre>
 *  range 0  0000 common configuration   1000 ISR   2000 device configuration   3000 notification
 *  range 1  MSI-X: one vector for configuration changes and one for each queue
 *
 *  common   00 device_feature_select  04 device_feature  08 driver_feature_select  0C driver_feature
 *           10 config_msix_vector  12 num_queues  14 device_status  15 config_generation
 *           16 queue_select  18 queue_size  1A queue_msix_vector  1C queue_enable  1E queue_notify_off
 *           20 queue_desc  28 queue_driver  30 queue_device
 * </pre>
 *
 * <p>After a driver's mistake the device sets DEVICE_NEEDS_RESET and does nothing until it is
 * reset.
 */
public final class VirtioPci implements Stateful {
  /** "No vector" in the MSI-X vector registers. */
  static final int NO_VECTOR = 0xffff;

  private static final int VENDOR = 0x1af4;
  private static final int FIRST_DEVICE = 0x1040;

  private static final int RANGE = 0;
  private static final int RANGE_BYTES = 0x4000;
  private static final int INTERRUPT_STATUS_AT = 0x1000;
  private static final int DEVICE_AT = 0x2000;
  private static final int NOTIFY_AT = 0x3000;
  private static final int NOTIFY_MULTIPLIER = 4;
  private static final int MESSAGE_RANGE = 1;

  private static final int VENDOR_CAPABILITY = 0x09;
  private static final int COMMON_CAPABILITY = 1;
  private static final int NOTIFY_CAPABILITY = 2;
  private static final int INTERRUPT_STATUS_CAPABILITY = 3;
  private static final int DEVICE_CAPABILITY = 4;
  private static final int PCI_ACCESS_CAPABILITY = 5;

  private static final int STATUS_DRIVER_OK = 4;
  private static final int STATUS_FEATURES_OK = 8;
  private static final int STATUS_NEEDS_RESET = 0x40;
  private static final int STATUS_DRIVER_BITS = 0x8f;

  private static final long INDIRECT_DESCRIPTORS = 1L << 28;
  private static final long EVENT_INDEX = 1L << 29;
  private static final long VERSION_1 = 1L << 32;

  private static final int INTERRUPT_QUEUE = 1;
  private static final int INTERRUPT_CONFIGURATION = 2;

  private final VirtioDevice device;
  private final PciFunction function;
  private final MessageSignals messages;
  private final VirtQueue[] queues;
  private final long offered;
  private final int accessCapability;

  private int deviceFeatureSelect;
  private int driverFeatureSelect;
  private long driverFeatures;
  private int configurationVector = NO_VECTOR;
  private int status;
  private int queueSelect;
  private int interruptStatus;

  /**
   * Creates the transport of a device.
   *
   * @param name of the section in a snapshot
   */
  VirtioPci(String name, VirtioDevice device, PhysicalMemory memory, ApicBus bus) {
    this.device = device;
    this.offered = device.features() | INDIRECT_DESCRIPTORS | EVENT_INDEX | VERSION_1;
    int[] sizes = device.queueSizes();
    this.queues = new VirtQueue[sizes.length];
    for (int i = 0; i < sizes.length; i++) {
      queues[i] = new VirtQueue(memory, sizes[i]);
    }
    this.function =
        new PciFunction(
            name + "-pci",
            new PciFunction.Identity(
                VENDOR,
                FIRST_DEVICE + device.type(),
                1,
                device.classCode(),
                VENDOR,
                0x40 + device.type()));
    function.addMemory(RANGE, RANGE_BYTES, new Registers());
    this.messages = new MessageSignals(function, MESSAGE_RANGE, 1 + sizes.length, bus);
    addCapability(COMMON_CAPABILITY, 0, 0x38, 0);
    int notify = addCapability(NOTIFY_CAPABILITY, NOTIFY_AT, 0x1000, 4);
    function.put(notify + 16, 4, NOTIFY_MULTIPLIER);
    addCapability(INTERRUPT_STATUS_CAPABILITY, INTERRUPT_STATUS_AT, 4, 0);
    addCapability(DEVICE_CAPABILITY, DEVICE_AT, 0x1000, 0);
    this.accessCapability = addCapability(PCI_ACCESS_CAPABILITY, 0, 0, 4);
    function.allow(accessCapability + 4, 1, 0xff);
    function.allow(accessCapability + 8, 4, -1);
    function.allow(accessCapability + 12, 4, -1);
    function.addWindow(accessCapability + 16, 4, new PciAccess());
    function.setWriteListener(this::configurationWritten);
  }

  private int addCapability(int type, int offset, int length, int extra) {
    int at = function.addCapability(VENDOR_CAPABILITY, 16 + extra);
    function.put(at + 2, 1, 16 + extra);
    function.put(at + 3, 1, type);
    function.put(at + 4, 1, RANGE);
    function.put(at + 8, 4, offset);
    function.put(at + 12, 4, length);
    return at;
  }

  /** The PCI function, for the host bridge. */
  public PciFunction function() {
    return function;
  }

  /** The MSI-X part, for snapshots. */
  public MessageSignals messages() {
    return messages;
  }

  private void resetDevice() {
    deviceFeatureSelect = 0;
    driverFeatureSelect = 0;
    driverFeatures = 0;
    configurationVector = NO_VECTOR;
    status = 0;
    queueSelect = 0;
    interruptStatus = 0;
    for (VirtQueue queue : queues) {
      queue.reset();
    }
    device.reset();
    updateInterrupt();
  }

  // --- for the device ---

  VirtQueue queue(int index) {
    return queues[index];
  }

  /** Whether the driver has finished set-up and made no mistake since. */
  boolean isRunning() {
    return (status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK
        && function.isMaster();
  }

  /** Ends a round of a queue and interrupts the driver if it wants that. */
  void finishRound(int index) throws VirtQueueException {
    VirtQueue queue = queues[index];
    if (queue.endRound()) {
      interrupt(INTERRUPT_QUEUE, queue.vector());
    }
  }

  /** The driver broke the rules. */
  void needsReset() {
    status |= STATUS_NEEDS_RESET;
    if ((status & STATUS_DRIVER_OK) != 0) {
      interrupt(INTERRUPT_CONFIGURATION, configurationVector);
    }
  }

  /** An action on queues that may find a mistake of the driver. */
  interface QueueWork {
    void run() throws VirtQueueException;
  }

  /** Does work on queues while the device runs; a mistake of the driver stops the device. */
  void whileRunning(QueueWork work) {
    if (isRunning()) {
      try {
        work.run();
      } catch (VirtQueueException e) {
        needsReset();
      }
    }
  }

  private void interrupt(int reason, int vector) {
    if (messages.isEnabled()) {
      messages.signal(vector);
    } else {
      interruptStatus |= reason;
      updateInterrupt();
    }
  }

  private void updateInterrupt() {
    function.assertInterrupt(interruptStatus != 0 && !messages.isEnabled());
  }

  private void configurationWritten() {
    messages.sendPending();
    updateInterrupt();
  }

  // --- registers ---

  private final class Registers implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      if (offset < INTERRUPT_STATUS_AT) {
        return readCommon((int) offset);
      }
      if (offset < DEVICE_AT) {
        return offset == INTERRUPT_STATUS_AT ? takeInterruptStatus() : 0;
      }
      return offset < NOTIFY_AT ? readDevice((int) offset - DEVICE_AT, bytes) : 0;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      if (offset < INTERRUPT_STATUS_AT) {
        writeCommon((int) offset, bytes, value);
      } else if (offset >= NOTIFY_AT) {
        int queue = (int) (offset - NOTIFY_AT) / NOTIFY_MULTIPLIER;
        if (queue < queues.length) {
          notifyDevice(queue);
        }
      }
      // The device configuration is read-only for all kinds of devices here.
    }
  }

  private void notifyDevice(int queue) {
    if (queues[queue].isEnabled()) {
      whileRunning(() -> device.notified(queue));
    }
  }

  private int takeInterruptStatus() {
    int value = interruptStatus;
    interruptStatus = 0;
    updateInterrupt();
    return value;
  }

  private long readDevice(int offset, int bytes) {
    byte[] configuration = device.configuration();
    long value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
      int at = offset + i;
      value = value << 8 | (at < configuration.length ? configuration[at] & 0xff : 0);
    }
    return value;
  }

  private long readCommon(int offset) {
    // Drivers use the width of each field; 64-bit fields may be read in halves.
    VirtQueue queue = queueSelect < queues.length ? queues[queueSelect] : null;
    return switch (offset) {
      case 0x00 -> deviceFeatureSelect;
      case 0x04 ->
          deviceFeatureSelect < 0 || deviceFeatureSelect > 1
              ? 0
              : offered >>> 32 * deviceFeatureSelect;
      case 0x08 -> driverFeatureSelect;
      case 0x0c ->
          driverFeatureSelect < 0 || driverFeatureSelect > 1
              ? 0
              : driverFeatures >>> 32 * driverFeatureSelect;
      case 0x10 -> configurationVector;
      case 0x12 -> queues.length;
      case 0x14 -> status;
      // The configuration never changes.
      case 0x15 -> 0;
      case 0x16 -> queueSelect;
      case 0x18 -> queue == null ? 0 : queue.size();
      case 0x1a -> queue == null ? NO_VECTOR : queue.vector();
      case 0x1c -> queue != null && queue.isEnabled() ? 1 : 0;
      case 0x1e -> queue == null ? 0 : queueSelect;
      case 0x20 -> queue == null ? 0 : queue.descriptors();
      case 0x24 -> queue == null ? 0 : queue.descriptors() >>> 32;
      case 0x28 -> queue == null ? 0 : queue.available();
      case 0x2c -> queue == null ? 0 : queue.available() >>> 32;
      case 0x30 -> queue == null ? 0 : queue.used();
      case 0x34 -> queue == null ? 0 : queue.used() >>> 32;
      default -> 0;
    };
  }

  private void writeCommon(int offset, int bytes, long value) {
    switch (offset) {
      case 0x00 -> deviceFeatureSelect = (int) value;
      case 0x08 -> driverFeatureSelect = (int) value;
      case 0x0c -> {
        if ((driverFeatureSelect == 0 || driverFeatureSelect == 1)
            && (status & STATUS_FEATURES_OK) == 0) {
          int shift = 32 * driverFeatureSelect;
          driverFeatures =
              driverFeatures & ~(0xffff_ffffL << shift) | (value & 0xffff_ffffL) << shift;
        }
      }
      case 0x10 -> configurationVector = validVector((int) value & 0xffff);
      case 0x14 -> writeStatus((int) value & 0xff);
      case 0x16 -> queueSelect = (int) value & 0xffff;
      default -> {
        if (queueSelect < queues.length) {
          writeQueue(queues[queueSelect], offset, bytes, value);
        }
      }
    }
  }

  private int validVector(int vector) {
    // A vector that cannot be mapped reads back as "no vector" (section 4.1.5.1.2.1).
    return vector < messages.vectors() ? vector : NO_VECTOR;
  }

  private void writeStatus(int value) {
    if (value == 0) {
      resetDevice();
      return;
    }
    int next = value & STATUS_DRIVER_BITS | status & STATUS_NEEDS_RESET;
    boolean acceptable = (driverFeatures & ~offered) == 0 && (driverFeatures & VERSION_1) != 0;
    if ((next & STATUS_FEATURES_OK) != 0 && !acceptable) {
      next &= ~STATUS_FEATURES_OK;
    }
    boolean starts = (next & ~status & STATUS_DRIVER_OK) != 0;
    status = next;
    if (starts) {
      // Chains may wait already, whose notification came too early.
      for (int i = 0; i < queues.length; i++) {
        notifyDevice(i);
      }
    }
  }

  private void writeQueue(VirtQueue queue, int offset, int bytes, long value) {
    switch (offset) {
      case 0x18 -> queue.setSize((int) value & 0xffff);
      case 0x1a -> queue.setVector(validVector((int) value & 0xffff));
      case 0x1c -> {
        if ((value & 1) != 0) {
          queue.enable(
              (driverFeatures & INDIRECT_DESCRIPTORS) != 0, (driverFeatures & EVENT_INDEX) != 0);
        }
      }
      case 0x20, 0x24 ->
          queue.setDescriptors(replace(queue.descriptors(), offset & 4, bytes, value));
      case 0x28, 0x2c -> queue.setAvailable(replace(queue.available(), offset & 4, bytes, value));
      case 0x30, 0x34 -> queue.setUsed(replace(queue.used(), offset & 4, bytes, value));
      default -> {
        // Read-only, or no register.
      }
    }
  }

  /** A 64-bit field of which one half or all was written. */
  private static long replace(long old, int byteOffset, int bytes, long value) {
    if (bytes == 8) {
      return value;
    }
    int shift = 8 * byteOffset;
    return old & ~(0xffff_ffffL << shift) | (value & 0xffff_ffffL) << shift;
  }

  /** The window into range 0 through configuration space (section 4.1.4.9). */
  private final class PciAccess implements IoRegion {
    private final Registers registers = new Registers();

    private boolean valid(int offset, int length) {
      boolean aligned = (length == 1 || length == 2 || length == 4) && offset % length == 0;
      boolean inside = offset >= 0 && offset <= RANGE_BYTES - length;
      return function.get(accessCapability + 4, 1) == RANGE && aligned && inside;
    }

    @Override
    public long read(long at, int bytes) {
      int offset = function.get(accessCapability + 8, 4);
      int length = function.get(accessCapability + 12, 4);
      return valid(offset, length) ? registers.read(offset, length) : 0;
    }

    @Override
    public void write(long at, int bytes, long value) {
      int offset = function.get(accessCapability + 8, 4);
      int length = function.get(accessCapability + 12, 4);
      if (valid(offset, length)) {
        registers.write(offset, length, value & 0xffff_ffffL >>> 32 - 8 * length);
      }
    }
  }

  // --- snapshot ---

  @Override
  public String stateName() {
    return function.stateName() + "-virtio";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(deviceFeatureSelect);
    out.writeInt(driverFeatureSelect);
    out.writeLong(driverFeatures);
    out.writeInt(configurationVector);
    out.writeInt(status);
    out.writeInt(queueSelect);
    out.writeInt(interruptStatus);
    for (VirtQueue queue : queues) {
      queue.save(out);
    }
    device.save(out);
  }

  @Override
  public void restore(StateReader in) {
    deviceFeatureSelect = in.readInt();
    driverFeatureSelect = in.readInt();
    driverFeatures = in.readLong();
    configurationVector = in.readInt("configuration vector", 0, 0xffff);
    status = in.readInt("status", 0, 255);
    queueSelect = in.readInt("queue select", 0, 0xffff);
    interruptStatus = in.readInt("interrupt status", 0, 3);
    for (VirtQueue queue : queues) {
      queue.restore(in);
    }
    device.restore(in);
  }
}
