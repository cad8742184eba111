package dev.ringfence.silicon.execute;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.buffer.StoreBuffer;
import dev.ringfence.silicon.cache.Cache;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.execute.TransientLoads.Way;
import dev.ringfence.silicon.model.Forwarding;

/**
 * What a load gives to its dependents that should not have completed: one that faults, needs an
 * assist, or belongs to an aborted transaction. Which mechanisms a processor has is data of its
 * model ({@link Forwarding}); the same way is taken for every program, mode and address.
 *
 * <p>In this order, the first that has something:
 *
 * <ol>
 *   <li>a translation exists but forbids the access: the line at the physical address, if the first
 *       level has it (Lipp et al., "Meltdown", 2018). If not, the line is fetched all the same, so
 *       that a later attempt finds it;
 *   <li>the walk ended at an entry that is not present or has reserved bits: the line at the
 *       address that the entry's frame bits make, if the first level has it (Van Bulck et al.,
 *       "Foreshadow", 2018; Weisse et al., "Foreshadow-NG"). In a virtual machine, too, that is a
 *       physical address: it has not been through the extended page tables when the walk ends;
 *   <li>a store, drained or not, with the same page offset (Canella et al., "Fallout", 2019);
 *   <li>a fill buffer at the offset in its line (van Schaik et al., "RIDL", 2019; Schwarz et al.,
 *       "ZombieLoad", 2019); in turns with it, but only for loads of more than eight bytes or
 *       across lines, a load port (Intel, "Microarchitectural Data Sampling").
 * </ol>
 */
final class StaleData {
  private final Core core;
  private final Forwarding forwarding;
  private final PhysicalMemory memory;
  private final CoreCaches caches;
  private final Cache firstLevel;
  private final FillBuffers fillBuffers;
  private final StoreBuffer storeBuffer;
  private final LoadPorts loadPorts;
  private final TranslationInspector inspector;
  private final int thread;
  private boolean portsNext;
  private long low;
  private long high;

  StaleData(Core core, int thread, PhysicalMemory memory, TranslationInspector inspector) {
    this.core = core;
    this.forwarding = core.model().forwarding();
    this.thread = thread;
    this.memory = memory;
    this.caches = core.caches();
    this.firstLevel = caches.data();
    this.fillBuffers = core.fillBuffers();
    this.storeBuffer = core.storeBuffer();
    this.loadPorts = core.loadPorts();
    this.inspector = inspector;
  }

  /** Bytes 0 to 7 of what was forwarded. */
  long low() {
    return low;
  }

  /** Bytes 8 to 15. */
  long high() {
    return high;
  }

  /**
   * A load that faults, and that the inspector has just inspected.
   *
   * @param repeated whether it will retire, once the view has mapped the page
   * @return whether its dependents receive something
   */
  boolean ofFault(
      TranslationInspector.Outcome outcome,
      long linear,
      int bytes,
      long instruction,
      long now,
      boolean repeated) {
    switch (outcome) {
      case DENIED -> {
        long physical = inspector.physical();
        if (forwarding.supervisorFromL1() && memory.isRam(physical, bytes)) {
          boolean there = firstLevel.contains(physical >>> 6);
          int unused = caches.load(physical, instruction, now);
          if (there) {
            read(physical, bytes);
            tell(instruction, Way.FORBIDDEN, physical, bytes);
            return true;
          }
        }
        tell(instruction, Way.DENIED, physical, bytes);
      }
      case NOT_PRESENT, RESERVED -> {
        if (forwarding.terminalFaultUsesFrame() && ofFrame(bytes, instruction)) {
          return true;
        }
      }
      case HIDDEN -> {
        if (!repeated) {
          tell(instruction, Way.UNMAPPED, inspector.physical(), bytes);
        }
      }
      case NOT_CANONICAL, PERMITTED -> {}
    }
    return ofVulnerableBuffers(linear, bytes, instruction) || nothing();
  }

  private void tell(long instruction, Way way, long physical, int bytes) {
    TransientLoads observer = core.transientLoads();
    if (observer != null) {
      observer.load(instruction, way, physical, bytes);
    }
  }

  /** A load that may read, in an instruction that faults for another reason: what it reads. */
  boolean ofMemory(long physical, int bytes) {
    if (!memory.isRam(physical, bytes)) {
      return false;
    }
    read(physical, bytes);
    return true;
  }

  /** A load that needs an assist of the microcode, to set an accessed bit. */
  boolean ofAssist(long linear, int bytes, long instruction) {
    return ofVulnerableBuffers(linear, bytes, instruction) || nothing();
  }

  /**
   * A load of a transaction that had not completed when the transaction was aborted: from all
   * buffers, also on processors whose faulting loads receive nothing from them (Intel, "TSX
   * Asynchronous Abort", 2019).
   */
  boolean ofAbort(long linear, int bytes, long instruction) {
    return forwarding.transactionAbort() && ofBuffers(linear, bytes, instruction, true, true, true);
  }

  private boolean nothing() {
    low = 0;
    high = 0;
    return forwarding.zeroOnFault();
  }

  /** Only the entry that would have named the page counts: the last level's, or a large one. */
  private boolean ofFrame(int bytes, long instruction) {
    long physical = inspector.unusedFrame();
    if (physical < 0 || !memory.isRam(physical, bytes) || !firstLevel.contains(physical >>> 6)) {
      return false;
    }
    read(physical, bytes);
    tell(instruction, Way.FRAME, physical, bytes);
    return true;
  }

  private boolean ofVulnerableBuffers(long linear, int bytes, long instruction) {
    return ofBuffers(
        linear,
        bytes,
        instruction,
        forwarding.storeBuffer(),
        forwarding.loadPorts(),
        forwarding.fillBuffers());
  }

  private boolean ofBuffers(
      long linear, int bytes, long instruction, boolean stores, boolean ports, boolean fills) {
    if (stores) {
      int entry = storeBuffer.sample(thread, linear);
      if (entry != StoreBuffer.NONE) {
        int from = (int) (linear & 0xfff) - (int) (storeBuffer.linear(entry) & 0xfff);
        low = cut(storeBuffer.read(entry, from), bytes);
        high = 0;
        tell(instruction, Way.STORE_BUFFER, storeBuffer.source(entry) + from, bytes);
        return true;
      }
    }
    boolean wide =
        bytes > LoadPorts.HALF || (linear & MemoryPath.LINE - 1) + bytes > MemoryPath.LINE;
    if (wide && ports) {
      boolean turn = portsNext || !fills;
      portsNext = !portsNext;
      int port = turn ? loadPorts.sample() : 0;
      if (turn && loadPorts.bytes(port) > 0) {
        low = cut(loadPorts.low(port), bytes);
        high = loadPorts.high(port);
        tell(instruction, Way.LOAD_PORT, loadPorts.source(port), Math.min(bytes, LoadPorts.HALF));
        if (bytes > LoadPorts.HALF) {
          tell(instruction, Way.LOAD_PORT, loadPorts.upperSource(port), LoadPorts.HALF);
        }
        return true;
      }
    }
    if (fills) {
      int entry = fillBuffers.sample();
      if (entry != FillBuffers.NONE) {
        int offset = (int) linear & MemoryPath.LINE - 1;
        low = cut(fillBuffers.read(entry, offset), bytes);
        high = fillBuffers.read(entry, offset + 8);
        long line = fillBuffers.source(entry) * MemoryPath.LINE;
        tell(instruction, Way.FILL_BUFFER, line + offset, bytes);
        return true;
      }
    }
    return false;
  }

  private void read(long physical, int bytes) {
    low = MemoryPath.read(memory.hostAddress(physical), Math.min(bytes, 8));
    high = bytes == 16 ? MemoryPath.read(memory.hostAddress(physical + 8), 8) : 0;
  }

  private static long cut(long value, int bytes) {
    return bytes >= 8 ? value : value & (1L << 8 * bytes) - 1;
  }
}
