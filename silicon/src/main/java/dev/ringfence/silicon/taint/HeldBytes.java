package dev.ringfence.silicon.taint;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Physical addresses of the secret's bytes that one structure was found to hold. */
final class HeldBytes {
  private long[] addresses = new long[64];
  private int count;

  void add(long physical) {
    if (count == addresses.length) {
      addresses = Arrays.copyOf(addresses, 2 * count);
    }
    addresses[count++] = physical;
  }

  /** Adds what was found, if it is something, as a holding; and begins anew. */
  void addTo(List<Holding> holdings, Structure structure, int core, int thread) {
    if (count == 0) {
      return;
    }
    Arrays.sort(addresses, 0, count);
    List<Holding.Source> sources = new ArrayList<>();
    int bytes = 0;
    long start = addresses[0];
    long end = start;
    for (int i = 0; i < count; i++) {
      long at = addresses[i];
      if (at > end) {
        sources.add(new Holding.Source(start, (int) (end - start)));
        start = at;
        end = at;
      }
      if (at == end) {
        end++;
        bytes++;
      }
    }
    sources.add(new Holding.Source(start, (int) (end - start)));
    holdings.add(new Holding(structure, core, thread, bytes, List.copyOf(sources)));
    count = 0;
  }
}
