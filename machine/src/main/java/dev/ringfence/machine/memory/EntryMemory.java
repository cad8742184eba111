package dev.ringfence.machine.memory;

/**
 * Memory that holds page-table entries, by physical address: what a page walker reads. Addresses
 * are multiples of the size of the entry.
 */
public interface EntryMemory {
  int readInt(long address);

  long readLong(long address);

  void writeInt(long address, int value);

  void writeLong(long address, long value);
}
