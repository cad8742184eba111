package dev.ringfence.silicon.model;

/**
 * One cache.
 *
 * @param bytes its size
 * @param ways lines of a set
 * @param latency cycles from a load to the use of its value
 * @param inclusive whether each line of the levels above is here, too
 * @param replacement what chooses the line that is evicted
 */
public record CacheLevel(
    int bytes, int ways, int latency, boolean inclusive, ReplacementPolicy replacement) {}
