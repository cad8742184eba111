package dev.ringfence.machine;

import java.nio.file.Path;

/**
 * A raw image file that the guest sees as a virtio block device.
 *
 * @param writable whether the guest's writes reach the file; otherwise they are kept in memory
 *     (copy on write) and end with the machine
 */
public record Disk(Path file, boolean writable) {}
