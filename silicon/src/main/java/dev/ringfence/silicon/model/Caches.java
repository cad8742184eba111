package dev.ringfence.silicon.model;

/**
 * The caches of a processor.
 *
 * @param lineBytes size of a line
 * @param memoryLatency cycles of a load that no cache answers
 * @param nextLinePrefetch whether the first level fetches the next line ahead
 * @param stridePrefetch whether it learns strides by instruction
 */
public record Caches(
    int lineBytes,
    CacheLevel l1Instruction,
    CacheLevel l1Data,
    CacheLevel l2,
    CacheLevel l3,
    int memoryLatency,
    boolean nextLinePrefetch,
    boolean stridePrefetch) {}
