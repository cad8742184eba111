package dev.ringfence.silicon.taint;

import dev.ringfence.silicon.execute.TransientLoads;

/**
 * Transient loads of one instruction that went for bytes of the secret in one way.
 *
 * @param instruction linear address
 * @param count how many
 * @param lastPhysical physical address of the last one's first byte
 */
public record TransientLoadCount(
    long instruction, TransientLoads.Way way, long count, long lastPhysical) {}
