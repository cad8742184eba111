/**
 * Buffers between the pipeline and the caches, with the stale contents that some processors
 * forward: fill buffers, store buffer, load ports.
 */
package dev.ringfence.silicon.buffer;
