package dev.ringfence.silicon.taint;

import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** What was found at all instants of one kind, for example at each enter under a policy. */
public final class Tally {
  /**
   * What one structure held.
   *
   * @param instants at which it held any byte of the secret
   * @param mostBytes that it held at one of them
   * @param example where the bytes came from, the last time
   */
  public record Found(long instants, int mostBytes, List<Holding.Source> example) {}

  private long instants;
  private final Map<Structure, Found> found = new EnumMap<>(Structure.class);

  void add(List<Holding> holdings) {
    instants++;
    for (Structure structure : Structure.values()) {
      int bytes = 0;
      List<Holding.Source> sources = List.of();
      for (Holding holding : holdings) {
        if (holding.structure() == structure && holding.bytes() > bytes) {
          bytes = holding.bytes();
          sources = holding.sources();
        }
      }
      if (bytes > 0) {
        Found before = found.get(structure);
        found.put(
            structure,
            before == null
                ? new Found(1, bytes, sources)
                : new Found(before.instants + 1, Math.max(before.mostBytes, bytes), sources));
      }
    }
  }

  /** How often was looked. */
  public long instants() {
    return instants;
  }

  /** By structure; those that never held anything are not there. */
  public Map<Structure, Found> found() {
    return Collections.unmodifiableMap(found);
  }
}
