package dev.ringfence.silicon.model;

/**
 * What translations of addresses cost.
 *
 * @param l1Entries entries of the first-level TLB of data
 * @param l1Ways entries of a set of it
 * @param l2Entries entries of the second level, which is common to data and instructions
 * @param l2Ways entries of a set of it
 * @param l2Latency cycles that a hit in the second level adds to the access
 * @param walkStepLatency cycles of each step of a walk beside those of its load
 */
public record Translation(
    int l1Entries, int l1Ways, int l2Entries, int l2Ways, int l2Latency, int walkStepLatency) {}
