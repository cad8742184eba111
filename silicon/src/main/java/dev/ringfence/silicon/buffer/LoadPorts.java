package dev.ringfence.silicon.buffer;

import java.util.Arrays;

/**
 * The load ports of a core, shared by its logical processors: each keeps the value of the last load
 * that it carried out, up to 16 bytes, until the next one, and some processors give it to a
 * faulting or assisted load (microarchitectural load port data sampling).
 */
public final class LoadPorts {
  /** Source of a port that holds nothing, or what came from no address. */
  public static final long NO_SOURCE = -1;

  /** Bytes of half a port. */
  public static final int HALF = 8;

  private final int ports;
  private final long[] sources;
  private final long[] upperSources;
  private final int[] sizes;
  private final long[] low;
  private final long[] high;
  private int next;
  private int nextSample;

  public LoadPorts(int ports) {
    if (ports < 1) {
      throw new IllegalArgumentException("expected at least one load port, got " + ports);
    }
    this.ports = ports;
    this.sources = new long[ports];
    this.upperSources = new long[ports];
    this.sizes = new int[ports];
    this.low = new long[ports];
    this.high = new long[ports];
    clear();
  }

  public int ports() {
    return ports;
  }

  /**
   * A load passes a port; the ports take turns.
   *
   * @param physical address of its first byte, or {@link #NO_SOURCE}
   * @param bytes 1 to 16
   * @param lowBytes the value's bytes 0 to 7, upper ones zero if there are less
   * @param highBytes the value's bytes 8 to 15, if it has any
   */
  public void record(long physical, int bytes, long lowBytes, long highBytes) {
    int port = next;
    next = port + 1 == ports ? 0 : port + 1;
    sources[port] = physical;
    sizes[port] = bytes;
    low[port] = lowBytes;
    if (bytes > HALF) {
      high[port] = highBytes;
      upperSources[port] = physical == NO_SOURCE ? NO_SOURCE : physical + HALF;
    }
  }

  /** The port whose value the next faulting or assisted load receives: they take turns. */
  public int sample() {
    int port = nextSample;
    nextSample = port + 1 == ports ? 0 : port + 1;
    return port;
  }

  /** Bytes 0 to 7 of a port. */
  public long low(int port) {
    return low[port];
  }

  /** Bytes 8 to 15 of a port, of the last load that had so many. */
  public long high(int port) {
    return high[port];
  }

  /** Physical address of bytes 0 to 7 of what the port holds, or {@link #NO_SOURCE}. */
  public long source(int port) {
    return sources[port];
  }

  /** Physical address of bytes 8 to 15 of what the port holds, or {@link #NO_SOURCE}. */
  public long upperSource(int port) {
    return upperSources[port];
  }

  /** Bytes that the last load of the port had. */
  public int bytes(int port) {
    return sizes[port];
  }

  /** Overwrites all ports, as VERW on a processor with MD_CLEAR does. */
  public void clear() {
    Arrays.fill(sources, NO_SOURCE);
    Arrays.fill(upperSources, NO_SOURCE);
    Arrays.fill(sizes, 0);
    Arrays.fill(low, 0);
    Arrays.fill(high, 0);
  }
}
