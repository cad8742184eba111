package dev.ringfence.silicon.model;

/**
 * The buffers between a core and its caches.
 *
 * @param fillBuffers line fill buffers
 * @param storeBuffer entries of the store buffer
 * @param loadPorts loads that can begin in one cycle
 */
public record Buffers(int fillBuffers, int storeBuffer, int loadPorts) {}
