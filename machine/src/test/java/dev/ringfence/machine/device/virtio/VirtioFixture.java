package dev.ringfence.machine.device.virtio;

import dev.ringfence.machine.device.pci.PciHost;
import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.VirtualClock;

/**
 * The driver's side of a virtio device: finds the device by its capabilities, negotiates, and keeps
 * split queues in memory. Queue n lies at 10000H * (n + 1): descriptors at +0, available ring at
 * +1000H, used ring at +2000H, indirect tables from +3000H.
 */
final class VirtioFixture implements AutoCloseable {
  static final int NEXT = 1;
  static final int WRITE = 2;
  static final int INDIRECT = 4;

  /** Address of the register range. */
  static final long RANGE = PciHost.MEMORY_START;

  /** A free part of memory for buffers. */
  static final long BUFFERS = 0x40_0000;

  static final int STATUS = 0x14;
  static final int QUEUE_SELECT = 0x16;
  static final int QUEUE_SIZE = 0x18;
  static final int QUEUE_ENABLE = 0x1c;
  static final int NEEDS_RESET = 0x40;

  private static final int DEVICE = 1;

  final PhysicalMemory memory = new PhysicalMemory(16 << 20);
  final IoSpace ports = new IoSpace("port");
  final VirtualClock clock = new VirtualClock();
  final ApicBus bus = new ApicBus();
  final PciHost host =
      new PciHost(
          ports,
          memory.devices(),
          new IoRegion() {
            @Override
            public long read(long offset, int bytes) {
              return 0;
            }

            @Override
            public void write(long offset, int bytes, long value) {}
          });
  boolean line;
  int size = 8;

  void attach(VirtioPci transport) {
    transport.function().setInterrupt(1, 11, asserted -> line = asserted);
    host.attach(DEVICE, transport.function());
    host.assignAddresses();
    // Memory, bus master.
    writeConfiguration(4, 2, 6);
  }

  long readConfiguration(int register, int bytes) {
    ports.write(0xcf8, 4, 0x8000_0000L | DEVICE << 11 | register & 0xfc);
    return ports.read(0xcfc + (register & 3), bytes);
  }

  void writeConfiguration(int register, int bytes, long value) {
    ports.write(0xcf8, 4, 0x8000_0000L | DEVICE << 11 | register & 0xfc);
    ports.write(0xcfc + (register & 3), bytes, value);
  }

  long read(int register, int bytes) {
    return memory.devices().read(RANGE + register, bytes);
  }

  void write(int register, int bytes, long value) {
    memory.devices().write(RANGE + register, bytes, value);
  }

  int status() {
    return (int) read(STATUS, 1);
  }

  static long table(int queue) {
    return 0x1_0000L * (queue + 1);
  }

  static long available(int queue) {
    return table(queue) + 0x1000;
  }

  static long used(int queue) {
    return table(queue) + 0x2000;
  }

  static long indirectTable(int queue) {
    return table(queue) + 0x3000;
  }

  /** Sets the device up with VERSION_1 and the given features of the low half. */
  void start(long features, int queues) {
    write(STATUS, 1, 0);
    write(STATUS, 1, 3);
    write(0x08, 4, 0);
    write(0x0c, 4, features);
    write(0x08, 4, 1);
    write(0x0c, 4, 1);
    write(STATUS, 1, 11);
    for (int i = 0; i < queues; i++) {
      memory.fill(table(i), 0x4000, (byte) 0);
      write(QUEUE_SELECT, 2, i);
      write(QUEUE_SIZE, 2, size);
      write(0x20, 8, table(i));
      write(0x28, 4, available(i));
      write(0x2c, 4, 0);
      write(0x30, 8, used(i));
      write(QUEUE_ENABLE, 2, 1);
    }
    write(STATUS, 1, 15);
  }

  void descriptor(long at, int index, long address, int length, int flags, int next) {
    memory.writeLong(at + 16L * index, address);
    memory.writeInt(at + 16L * index + 8, length);
    memory.writeShort(at + 16L * index + 12, (short) flags);
    memory.writeShort(at + 16L * index + 14, (short) next);
  }

  /** Makes chains available, by the indexes of their first descriptors. */
  void offer(int queue, int... heads) {
    int index = memory.readShort(available(queue) + 2) & 0xffff;
    for (int head : heads) {
      memory.writeShort(available(queue) + 4 + 2L * (index % size), (short) head);
      index++;
    }
    memory.writeShort(available(queue) + 2, (short) index);
  }

  void notifyQueue(int queue) {
    write(0x3000 + 4 * queue, 2, queue);
  }

  int usedIndex(int queue) {
    return memory.readShort(used(queue) + 2) & 0xffff;
  }

  int usedHead(int queue, int position) {
    return memory.readInt(used(queue) + 4 + 8L * (position % size));
  }

  int usedLength(int queue, int position) {
    return memory.readInt(used(queue) + 8 + 8L * (position % size));
  }

  byte[] bytes(long address, int length) {
    byte[] result = new byte[length];
    memory.read(address, result, 0, length);
    return result;
  }

  void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  @Override
  public void close() {
    memory.close();
  }
}
