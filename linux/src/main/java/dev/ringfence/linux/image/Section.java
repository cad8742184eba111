package dev.ringfence.linux.image;

/**
 * A section of a kernel's ELF file.
 *
 * @param address linear link address of its first byte; 0 if it is not loaded, or if it is the
 *     per-CPU section of Linux up to 6.14
 * @param size in bytes
 * @param hasContent whether the file has its bytes; not so for {@code .bss}
 */
public record Section(String name, long address, long size, boolean hasContent) {}
