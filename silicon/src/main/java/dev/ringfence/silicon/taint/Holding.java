package dev.ringfence.silicon.taint;

import java.util.List;

/**
 * What one structure holds of the planted secret.
 *
 * @param core number of the core, or -1 of the cache that all share
 * @param thread logical processor of the core, or -1 if they share the structure
 * @param bytes of the secret, each counted once
 * @param sources where in physical memory they came from, in ascending order
 */
public record Holding(Structure structure, int core, int thread, int bytes, List<Source> sources) {
  /**
   * A range of physical memory.
   *
   * @param physical address of the first byte
   */
  public record Source(long physical, int bytes) {}
}
