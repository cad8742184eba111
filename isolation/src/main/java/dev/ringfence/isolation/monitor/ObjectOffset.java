package dev.ringfence.isolation.monitor;

/**
 * Where an access lies in what it touches: in a file, for a page of the page cache or of shared
 * memory, or in an object of a slab cache.
 *
 * @param bytes from the beginning of the file or object to the first byte accessed
 * @param size of the objects of the slab cache as they lie in memory, in bytes; 0 for a file
 */
public record ObjectOffset(long bytes, int size) {}
