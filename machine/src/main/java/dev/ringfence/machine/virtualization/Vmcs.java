package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.memory.PhysicalMemory;

/**
 * A virtual-machine control structure (SDM volume 3, chapter 25), which lies in its region of
 * memory, and nowhere else: so VMCLEAR has nothing to write back, and a snapshot of memory holds
 * it.
 *
 * <pre>
 * 0   revision identifier, 4 bytes
 * 4   abort indicator, 4 bytes
 * 8   launch state, 4 bytes
 * 64  fields, 8 bytes each, by {@link VmcsField#number}
 * </pre>
 */
final class Vmcs {
  /** Bytes of a region, for IA32_VMX_BASIC. */
  static final int REGION_BYTES = 4096;

  /** The revision of this layout, for IA32_VMX_BASIC. */
  static final int REVISION = 1;

  private static final int ABORT_OFFSET = 4;
  private static final int LAUNCH_OFFSET = 8;
  private static final int FIELDS_OFFSET = 64;
  private static final int LAUNCHED = 1;

  private final PhysicalMemory memory;
  private final long address;

  Vmcs(PhysicalMemory memory, long address) {
    this.memory = memory;
    this.address = address;
  }

  /** Physical address of the region. */
  long address() {
    return address;
  }

  long read(VmcsField field) {
    return memory.readLong(at(field));
  }

  int readInt(VmcsField field) {
    return (int) memory.readLong(at(field));
  }

  void write(VmcsField field, long value) {
    memory.writeLong(at(field), value & field.mask());
  }

  private long at(VmcsField field) {
    return address + FIELDS_OFFSET + 8L * field.number();
  }

  /** The first four bytes: revision identifier, and bit 31 for a shadow VMCS. */
  int revision() {
    return memory.readInt(address);
  }

  boolean launched() {
    return memory.readInt(address + LAUNCH_OFFSET) == LAUNCHED;
  }

  void setLaunched(boolean launched) {
    memory.writeInt(address + LAUNCH_OFFSET, launched ? LAUNCHED : 0);
  }

  /**
   * Notes why the logical processor shut down while it left a virtual machine (SDM section 28.7).
   */
  void setAbort(int indicator) {
    memory.writeInt(address + ABORT_OFFSET, indicator);
  }
}
