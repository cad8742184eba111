package dev.ringfence.silicon.execute;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.HostMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.buffer.StoreBuffer;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.cache.TranslationTimes;

/**
 * The way of data accesses of one logical processor through translations, store buffer and caches:
 * how long each takes, and what it leaves there. Executors of right and wrong paths share it;
 * neither can tell from its traces which of them made an access.
 *
 * <p>Times are cycles of the core.
 */
final class MemoryPath {
  /** Bytes of a line. */
  static final int LINE = 64;

  /**
   * Cycles that a load loses whose address has the low twelve bits of an older store's (Intel
   * optimization manual, "4-KByte aliasing").
   */
  private static final int ALIAS_PENALTY = 5;

  private final int thread;
  private final TranslatedMemory memory;
  private final PhysicalMemory physicalMemory;
  private final TranslationInspector inspector;
  private final CoreCaches caches;
  private final StoreBuffer storeBuffer;
  private final LoadPorts loadPorts;
  private final FillBuffers fillBuffers;
  private final TranslationTimes translations;
  private final int secondLevelLatency;
  private final TableWalk walk;
  private final int forwardLatency;
  private final int firstLevelLatency;

  /** Whether the last walk for an address of the upper half found a global page. */
  private boolean upperHalfGlobal;

  private boolean passedStores;

  /** What the store buffer said to the last load. */
  private StoreBuffer.Outcome outcome = StoreBuffer.Outcome.CACHE;

  MemoryPath(Processor processor, Core core, int thread) {
    this.thread = thread;
    this.memory = processor.memory();
    this.physicalMemory = processor.physical();
    this.inspector = memory.inspector();
    this.caches = core.caches();
    this.storeBuffer = core.storeBuffer();
    this.loadPorts = core.loadPorts();
    this.fillBuffers = core.fillBuffers();
    this.translations = core.dataTranslations();
    this.secondLevelLatency = core.model().translation().l2Latency();
    this.walk = new TableWalk(inspector, core);
    this.forwardLatency = core.model().pipeline().storeForwardLatency();
    this.firstLevelLatency = caches.latency(CoreCaches.L1);
  }

  /** Reads 1, 2, 4 or 8 bytes at a host address, zero-extended. */
  static long read(long host, int bytes) {
    return switch (bytes) {
      case 8 -> HostMemory.getLong(host);
      case 4 -> HostMemory.getInt(host) & 0xffffffffL;
      case 1 -> HostMemory.getByte(host) & 0xffL;
      default -> HostMemory.getShort(host) & 0xffffL;
    };
  }

  /**
   * Host address of RAM that the fast table of loads has, or 0: then the access needs {@link
   * TranslatedMemory} or {@link TranslationInspector}.
   */
  long readable(long linear, int bytes) {
    int entry = TranslatedMemory.entry(linear);
    return memory.readTable[entry] == (linear + bytes - 1 & PAGE | memory.context)
        ? linear + memory.readTable[entry + 1]
        : 0;
  }

  /** Likewise for stores. */
  long writable(long linear, int bytes) {
    int entry = TranslatedMemory.entry(linear);
    return memory.writeTable[entry] == (linear + bytes - 1 & PAGE | memory.context)
        ? linear + memory.writeTable[entry + 1]
        : 0;
  }

  /** Translates a data address that is mapped: returns when the physical address is known. */
  long translated(long linear, long now) {
    boolean upper = linear < 0;
    int space = upper && upperHalfGlobal ? memory.globalSlot() : (int) memory.context >>> 2;
    int steps = translations.translate(linear, space);
    if (steps == TranslationTimes.FIRST_LEVEL) {
      return now;
    }
    if (steps == TranslationTimes.SECOND_LEVEL) {
      return now + secondLevelLatency;
    }
    inspector.inspectTables(linear, 0);
    if (upper) {
      upperHalfGlobal = inspector.global();
    }
    return walked(steps, now);
  }

  /**
   * A walk of the tables that {@link #inspector} has just read: returns when it has ended.
   *
   * @param steps how many of the last entries have to be read
   */
  long walked(int steps, long now) {
    return walk.read(steps, now + secondLevelLatency);
  }

  /**
   * The walk of an address that has no usable translation, which the inspector has just inspected:
   * returns when the processor knows.
   */
  long failed(TranslationInspector.Outcome outcome, long linear, long now) {
    return switch (outcome) {
      case DENIED -> translated(linear, now);
      case NOT_CANONICAL -> now;
      default -> walked(inspector.entries(), now);
    };
  }

  /**
   * A load of RAM: returns when its value is there. If it overtakes a store ({@link #overtakes}),
   * nothing has happened yet but the translation.
   *
   * @param value its bytes as memory has them
   * @param high bytes 8 to 15
   * @param instruction linear address of the instruction
   */
  long load(
      long linear, long physical, int bytes, long value, long high, long instruction, long now) {
    long at = translated(linear, now);
    outcome = StoreBuffer.Outcome.CACHE;
    passedStores = false;
    if (at < storeBuffer.drainedAt(thread)) {
      outcome = storeBuffer.compare(thread, linear, physical, bytes, at);
      switch (outcome) {
        case FORWARD -> {
          loadPorts.record(physical, bytes, value, high);
          return Math.max(at, storeBuffer.dataAt(storeBuffer.found())) + forwardLatency;
        }
        case BLOCKED -> at = Math.max(at, storeBuffer.drainedEntryAt(storeBuffer.found()));
        case ALIAS -> at += ALIAS_PENALTY;
        case OVERTAKES -> {
          return at;
        }
        case CACHE -> passedStores = true;
      }
    }
    return cached(physical, bytes, value, high, instruction, at);
  }

  /** A load that reads the cache: returns when its value is there. */
  long cached(long physical, int bytes, long value, long high, long instruction, long now) {
    long ready = now + caches.load(physical, instruction, now);
    if (((int) physical & LINE - 1) + bytes > LINE) {
      ready = Math.max(ready, now + 1 + caches.load(physical + bytes - 1, instruction, now + 1));
    }
    loadPorts.record(physical, bytes, value, high);
    return ready;
  }

  /**
   * A load or store that runs over the end of a page, as one of its first and one of its last byte.
   */
  long crossing(long linear, int bytes, boolean write, long instruction, long now) {
    long middle = part(linear, write, instruction, now);
    return part(linear + bytes - 1, write, instruction, middle);
  }

  private long part(long linear, boolean write, long instruction, long now) {
    long at = translated(linear, now);
    long host = write ? writable(linear, 1) : readable(linear, 1);
    if (host == 0) {
      return at + firstLevelLatency;
    }
    return at
        + (write ? caches.store(physical(host), at) : caches.load(physical(host), instruction, at));
  }

  /**
   * Whether the last load met an older store whose address was not known when it could have read;
   * {@link #overtaken} is that store.
   */
  boolean overtakes() {
    return outcome == StoreBuffer.Outcome.OVERTAKES;
  }

  /** When an overtaking load has its value if it waits for the store. */
  long waited(long now) {
    int entry = storeBuffer.found();
    long known = Math.max(storeBuffer.addressAt(entry), storeBuffer.dataAt(entry));
    return Math.max(now, known) + forwardLatency;
  }

  /** Whether the last load found older stores under way that did not concern it. */
  boolean passedStores() {
    return passedStores;
  }

  /** PREFETCHh: brings a line that can be read without a fault. */
  void prefetch(long linear, boolean firstLevel, long now) {
    if (inspector.inspect(linear, 0) == TranslationInspector.Outcome.PERMITTED) {
      long physical = inspector.physical();
      if (physicalMemory.isRam(physical, 1)) {
        caches.prefetch(
            physical, firstLevel ? CoreCaches.L1 : CoreCaches.L2, translated(linear, now));
      }
    }
  }

  /** The entry of the store buffer that decided about the last load. */
  int overtaken() {
    return storeBuffer.found();
  }

  /** Cycles of a load that forwards from the store buffer. */
  int forwardLatency() {
    return forwardLatency;
  }

  /** Cycles of a load that hits the first level. */
  int firstLevelLatency() {
    return firstLevelLatency;
  }

  /**
   * A store of RAM.
   *
   * @param before the bytes that it overwrites, and {@code beforeHigh} bytes 8 to 15
   * @param addressAt when its address is known
   * @param dataAt when its data is known
   * @param retired when it and all older instructions have retired
   */
  void store(
      long linear,
      long physical,
      int bytes,
      long value,
      long high,
      long before,
      long beforeHigh,
      long addressAt,
      long dataAt,
      long retired) {
    int entry = storeBuffer.allocate(thread, linear, physical, bytes, addressAt);
    storeBuffer.data(entry, value, high, dataAt);
    storeBuffer.before(entry, before, beforeHigh);
    // The line is asked for when the address is known, and written in order after retirement.
    long written = addressAt + caches.store(physical, addressAt);
    if (((int) physical & LINE - 1) + bytes > LINE) {
      written = Math.max(written, addressAt + caches.store(physical + bytes - 1, addressAt));
    }
    storeBuffer.drain(thread, entry, Math.max(written, retired));
  }

  /** Likewise for one that goes around the caches. */
  void storeAround(
      long linear,
      long physical,
      int bytes,
      long value,
      long addressAt,
      long dataAt,
      long retired) {
    int entry = storeBuffer.allocate(thread, linear, physical, bytes, addressAt);
    storeBuffer.data(entry, value, 0, dataAt);
    storeBuffer.drain(thread, entry, retired + caches.storeAround(physical, retired));
  }

  /** A load of a device register, whose value passes a fill buffer. */
  void deviceRead(long physical, int bytes, long value, long now, long until) {
    long start = fillBuffers.freeAt(now);
    int entry = fillBuffers.allocate(physical >>> 6, start, until);
    fillBuffers.put(entry, (int) physical & LINE - 1, bytes, value);
    loadPorts.record(LoadPorts.NO_SOURCE, bytes, value, 0);
  }

  /** Physical address of a host address of RAM. */
  long physical(long host) {
    return physicalMemory.addressAtHost(host);
  }
}
