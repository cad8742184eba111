package dev.ringfence.machine.device.pci;

import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * MSI-X of a function (PCI Local Bus Specification 3.0, section 6.8.2).
 *
 * <pre>
 *  capability  +2 control: 15 enable  14 function mask  10..0 vectors - 1
 *              +4 table offset and range   +8 pending bits offset and range
 *  range       000 table: address, address high, data, control (bit 0 mask) for each vector
 *              800 pending bits
 * </pre>
 */
public final class MessageSignals implements IoRegion, Stateful {
  /** Bytes of the range with table and pending bits. */
  public static final int BYTES = 4096;

  private static final int CAPABILITY = 0x11;
  private static final int PENDING_BITS = 0x800;
  private static final int MASKED = 1;
  private static final int ENABLE = 1 << 15;
  private static final int FUNCTION_MASK = 1 << 14;

  private final PciFunction function;
  private final ApicBus bus;
  private final int vectors;
  private final int capability;
  private final int[] table;
  private final boolean[] pending;

  /**
   * Adds the capability and the range to a function.
   *
   * @param vectors from 1 to 64
   */
  public MessageSignals(PciFunction function, int rangeIndex, int vectors, ApicBus bus) {
    if (vectors < 1 || vectors > 64) {
      throw new IllegalArgumentException("vectors must be from 1 to 64, got " + vectors);
    }
    this.function = function;
    this.bus = bus;
    this.vectors = vectors;
    this.table = new int[4 * vectors];
    this.pending = new boolean[vectors];
    this.capability = function.addCapability(CAPABILITY, 12);
    function.put(capability + 2, 2, vectors - 1);
    function.allow(capability + 2, 2, ENABLE | FUNCTION_MASK);
    function.put(capability + 4, 4, rangeIndex);
    function.put(capability + 8, 4, PENDING_BITS | rangeIndex);
    function.addMemory(rangeIndex, BYTES, this);
    for (int vector = 0; vector < vectors; vector++) {
      table[4 * vector + 3] = MASKED;
    }
  }

  /** Whether the guest uses MSI-X instead of the interrupt pin. */
  public boolean isEnabled() {
    return (function.get(capability + 2, 2) & ENABLE) != 0;
  }

  /** Number of vectors. */
  public int vectors() {
    return vectors;
  }

  /** Sends the message of a vector, or remembers it while it is masked. */
  public void signal(int vector) {
    if (vector < 0 || vector >= vectors || !isEnabled()) {
      return;
    }
    if (isMasked(vector)) {
      pending[vector] = true;
      return;
    }
    long address = table[4 * vector] & 0xffff_ffffL | (long) table[4 * vector + 1] << 32;
    if (address >= ApicBus.MESSAGE_BASE
        && address < ApicBus.MESSAGE_BASE + ApicBus.MESSAGE_BYTES
        && function.isMaster()) {
      bus.sendMemoryWrite(address, table[4 * vector + 2]);
    }
  }

  private boolean isMasked(int vector) {
    return (function.get(capability + 2, 2) & FUNCTION_MASK) != 0
        || (table[4 * vector + 3] & MASKED) != 0;
  }

  /**
   * Sends what was remembered and is not masked any more; after writes to the control register too.
   */
  public void sendPending() {
    for (int vector = 0; vector < vectors; vector++) {
      if (pending[vector] && isEnabled() && !isMasked(vector)) {
        pending[vector] = false;
        signal(vector);
      }
    }
  }

  @Override
  public long read(long offset, int bytes) {
    // Only aligned accesses of 4 or 8 bytes are defined.
    int at = (int) offset & ~3;
    long low = word(at) & 0xffff_ffffL;
    return bytes == 8 ? low | (long) word(at + 4) << 32 : low >>> 8 * (offset & 3);
  }

  private int word(int offset) {
    if (offset < 4 * table.length) {
      return table[offset / 4];
    }
    int bits = 0;
    if (offset == PENDING_BITS || offset == PENDING_BITS + 4) {
      int first = (offset - PENDING_BITS) * 8;
      for (int vector = first; vector < Math.min(first + 32, vectors); vector++) {
        bits |= pending[vector] ? 1 << vector : 0;
      }
    }
    return bits;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    if (bytes < 4 || (offset & 3) != 0) {
      return;
    }
    for (int i = 0; i < bytes; i += 4) {
      int index = (int) (offset + i) / 4;
      if (index < table.length) {
        int word = (int) (value >>> 8 * i);
        table[index] =
            switch (index & 3) {
              case 0 -> word & ~3;
              case 3 -> word & MASKED;
              default -> word;
            };
      }
    }
    sendPending();
  }

  @Override
  public String stateName() {
    return function.stateName() + "-msi-x";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInts(table);
    for (boolean bit : pending) {
      out.writeBoolean(bit);
    }
  }

  @Override
  public void restore(StateReader in) {
    in.readInts(table);
    for (int vector = 0; vector < vectors; vector++) {
      pending[vector] = in.readBoolean();
    }
  }
}
