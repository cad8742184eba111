package dev.ringfence.silicon.taint;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.buffer.StoreBuffer;
import dev.ringfence.silicon.cache.Cache;
import dev.ringfence.silicon.execute.TransientLoads;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Follows a planted secret through the silicon: tells at any instant which structures hold how many
 * of its bytes and where these came from, and counts transient loads that went for it.
 *
 * <p>It looks only, so runs with and without it are equal. What counts is where bytes came from: a
 * line of a cache, the source of a buffer's entry, and that they still have the planted values. A
 * program's own computations on the secret are not followed; {@link #plantCopies} finds the copies
 * that a guest has made.
 *
 * <p>Use: {@link #plant} once the secret is in memory, {@link #look} at each enter of a policy with
 * a name for that kind of instant, {@link #tallies} and {@link #transientLoads} at the end.
 */
public final class SecretTrace implements TransientLoads {
  private static final int LINE_BITS = 6;
  private static final int LINE = 1 << LINE_BITS;
  private static final int PAGE = 4096;

  private record Place(long instruction, Way way) {}

  private final PhysicalMemory memory;
  private final List<Core> cores;
  private final Secret secret;
  private final HeldBytes held = new HeldBytes();
  private final Map<String, Tally> tallies = new LinkedHashMap<>();
  private final Map<Place, TransientLoadCount> loads = new LinkedHashMap<>();

  /**
   * @param memory of the machine
   * @param cores of the silicon that is attached to it
   */
  public SecretTrace(PhysicalMemory memory, List<Core> cores) {
    this.memory = memory;
    this.cores = List.copyOf(cores);
    this.secret = new Secret(memory);
  }

  /**
   * Plants a range: the bytes that RAM has there now are secret.
   *
   * @throws IllegalArgumentException if it is not RAM
   */
  public void plant(long physical, int bytes) {
    secret.plant(physical, bytes);
  }

  /**
   * Plants all copies of a secret that RAM has now.
   *
   * @param value at least 8 bytes, so that what is found is no coincidence
   * @return how many copies there are
   */
  public int plantCopies(byte[] value) {
    List<Long> copies = copies(memory, value);
    copies.forEach(at -> plant(at, value.length));
    return copies.size();
  }

  /**
   * Physical addresses of all copies of a secret that RAM has now. A copy that runs over the end of
   * a page is found if its two parts are neighbours in physical memory.
   *
   * @param value at least 8 bytes, not all zero, so that what is found is no coincidence
   */
  public static List<Long> copies(PhysicalMemory memory, byte[] value) {
    if (value.length < 8) {
      throw new IllegalArgumentException(
          "expected a secret of at least 8 bytes, got " + value.length);
    }
    List<Long> copies = new ArrayList<>();
    // The JVM has vector instructions for the search in a string; a loop takes four times as long.
    String sought = new String(value, StandardCharsets.ISO_8859_1);
    byte[] window = new byte[PAGE + value.length - 1];
    byte[] zeros = new byte[window.length];
    for (int page = 0; page < memory.ramPages(); page++) {
      long at = memory.addressOfPage(page);
      int length = memory.isRam(at, window.length) ? window.length : PAGE;
      memory.read(at, window, 0, length);
      // Most of a guest's memory, and copying the rest into a string is what takes time.
      if (Arrays.equals(window, 0, length, zeros, 0, length)) {
        continue;
      }
      String content = new String(window, 0, length, StandardCharsets.ISO_8859_1);
      for (int i = content.indexOf(sought); i >= 0; i = content.indexOf(sought, i + 1)) {
        copies.add(at + i);
      }
    }
    return copies;
  }

  /** What all structures hold now; those that hold nothing are not there. */
  public List<Holding> holdings() {
    List<Holding> holdings = new ArrayList<>();
    if (secret.isEmpty()) {
      return holdings;
    }
    for (int i = 0; i < cores.size(); i++) {
      Core core = cores.get(i);
      cached(core.caches().instructions());
      held.addTo(holdings, Structure.L1_INSTRUCTION, i, -1);
      cached(core.caches().data());
      held.addTo(holdings, Structure.L1_DATA, i, -1);
      cached(core.caches().second());
      held.addTo(holdings, Structure.L2, i, -1);
      inFillBuffers(core.fillBuffers());
      held.addTo(holdings, Structure.FILL_BUFFERS, i, -1);
      for (int thread = 0; thread < core.threads(); thread++) {
        inStoreBuffer(core.storeBuffer(), thread);
        held.addTo(holdings, Structure.STORE_BUFFER, i, thread);
      }
      inLoadPorts(core.loadPorts());
      held.addTo(holdings, Structure.LOAD_PORTS, i, -1);
    }
    if (!cores.isEmpty()) {
      cached(cores.getFirst().sharedCache().cache());
      held.addTo(holdings, Structure.L3, -1, -1);
    }
    return holdings;
  }

  private void cached(Cache cache) {
    for (Map.Entry<Long, byte[]> range : secret.ranges().entrySet()) {
      long from = range.getKey();
      long end = from + range.getValue().length;
      for (long line = from >>> LINE_BITS; line << LINE_BITS < end; line++) {
        if (cache.contains(line)) {
          long stop = Math.min(end, line + 1 << LINE_BITS);
          for (long at = Math.max(from, line << LINE_BITS); at < stop; at++) {
            found(at, memory.readByte(at));
          }
        }
      }
    }
  }

  private void found(long physical, long octet) {
    if (secret.valueAt(physical) == (octet & 0xff)) {
      held.add(physical);
    }
  }

  private void inFillBuffers(FillBuffers buffers) {
    for (int entry = 0; entry < buffers.entries(); entry++) {
      long from = buffers.source(entry) << LINE_BITS;
      if (buffers.source(entry) != FillBuffers.NO_SOURCE && secret.touches(from, LINE)) {
        for (int i = 0; i < LINE; i++) {
          found(from + i, buffers.read(entry, i));
        }
      }
    }
  }

  private void inStoreBuffer(StoreBuffer buffer, int thread) {
    int first = buffer.firstEntry(thread);
    for (int entry = first; entry < first + buffer.entries(thread); entry++) {
      long from = buffer.source(entry);
      if (from != StoreBuffer.NO_SOURCE && secret.touches(from, buffer.bytes(entry))) {
        for (int i = 0; i < buffer.bytes(entry); i++) {
          found(from + i, buffer.read(entry, i));
        }
      }
    }
  }

  private void inLoadPorts(LoadPorts ports) {
    for (int port = 0; port < ports.ports(); port++) {
      inHalf(ports.source(port), Math.min(ports.bytes(port), LoadPorts.HALF), ports.low(port));
      inHalf(ports.upperSource(port), LoadPorts.HALF, ports.high(port));
    }
  }

  private void inHalf(long from, int bytes, long value) {
    if (from != LoadPorts.NO_SOURCE && secret.touches(from, bytes)) {
      for (int i = 0; i < bytes; i++) {
        found(from + i, value >>> 8 * i);
      }
    }
  }

  /**
   * Looks at all structures now, and adds what they hold to the tally of this kind of instant.
   *
   * @param instant its name, for example that of a policy's enter
   */
  public List<Holding> look(String instant) {
    List<Holding> holdings = holdings();
    tallies.computeIfAbsent(instant, name -> new Tally()).add(holdings);
    return holdings;
  }

  /** By name of instant, in the order in which they first came. */
  public Map<String, Tally> tallies() {
    return Collections.unmodifiableMap(tallies);
  }

  @Override
  public void load(long instruction, Way way, long physical, int bytes) {
    if (!secret.touches(physical, bytes)) {
      return;
    }
    loads.merge(
        new Place(instruction, way),
        new TransientLoadCount(instruction, way, 1, physical),
        (before, one) ->
            new TransientLoadCount(instruction, way, before.count() + 1, one.lastPhysical()));
  }

  /** Transient loads that went for the secret, by instruction and way, the first ones first. */
  public List<TransientLoadCount> transientLoads() {
    return List.copyOf(loads.values());
  }
}
