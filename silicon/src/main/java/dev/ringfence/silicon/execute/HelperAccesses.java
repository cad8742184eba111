package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.paging.AccessListener;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.cache.CoreCaches;

/**
 * Follows the memory accesses of a helper, line by line: string instructions and whatever else
 * microcode does with memory. Their lines come to the caches like those of other accesses, and
 * misses overlap as far as the fill buffers let them.
 */
final class HelperAccesses implements AccessListener {
  /**
   * Misses of a string instruction that are under way at a time. REP MOVSB and STOSB move a line in
   * one or two cycles when they hit, and are bound by fill buffers when they miss (Intel
   * optimization manual, "Enhanced REP MOVSB and STOSB operation").
   */
  private static final int OVERLAP = 8;

  private static final int PORT_BYTES = 16;

  private final MemoryPath path;
  private final TranslatedMemory memory;
  private final PhysicalMemory physical;
  private final TranslationInspector inspector;
  private final CoreCaches caches;
  private final LoadPorts loadPorts;
  private long now;
  private long instruction;

  HelperAccesses(
      MemoryPath path,
      TranslatedMemory memory,
      PhysicalMemory physical,
      TranslationInspector inspector,
      Core core) {
    this.path = path;
    this.memory = memory;
    this.physical = physical;
    this.inspector = inspector;
    this.caches = core.caches();
    this.loadPorts = core.loadPorts();
  }

  /** Calls the helper of a micro-operation; returns when it has finished. */
  long during(MicroOperation o, Processor processor, long start) {
    now = start;
    instruction = processor.state().r[Slot.BLOCK_START] + o.offset;
    memory.setAccessListener(this);
    try {
      o.processorHelper.execute(processor, o);
    } finally {
      memory.setAccessListener(null);
    }
    return now;
  }

  @Override
  public void accessing(long linear, int bytes, boolean write) {
    long end = linear + bytes;
    long at = linear;
    while (at != end) {
      long next = Math.min(end - at, MemoryPath.LINE - (at & MemoryPath.LINE - 1)) + at;
      access(at, (int) (next - at), write);
      at = next;
    }
  }

  private void access(long linear, int bytes, boolean write) {
    long address = address(linear, write);
    if (address < 0) {
      return;
    }
    long at = path.translated(linear, now);
    int cycles = write ? caches.store(address, at) : caches.load(address, instruction, at);
    if (!write) {
      passLoadPort(address, bytes);
    }
    now = at + 1 + Math.max(0, cycles - path.firstLevelLatency()) / OVERLAP;
  }

  /**
   * A port keeps the last of the loads that a line takes, which are of 16 bytes where they can be.
   */
  private void passLoadPort(long address, int bytes) {
    int size = Math.min(bytes, PORT_BYTES);
    long from = address + bytes - size;
    loadPorts.record(from, size, value(from, Math.min(size, 8)), value(from + 8, size - 8));
  }

  private long value(long address, int bytes) {
    long value = 0;
    for (int i = 0; i < bytes; i++) {
      value |= (physical.readByte(address + i) & 0xffL) << 8 * i;
    }
    return value;
  }

  /** The physical address, or -1 if the access will fault or goes to a device. */
  private long address(long linear, boolean write) {
    long host = write ? path.writable(linear, 1) : path.readable(linear, 1);
    if (host != 0) {
      return path.physical(host);
    }
    boolean permitted =
        inspector.inspect(linear, write ? PageWalker.WRITE : 0)
            == TranslationInspector.Outcome.PERMITTED;
    return permitted && physical.isRam(inspector.physical(), 1) ? inspector.physical() : -1;
  }
}
