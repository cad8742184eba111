package dev.ringfence.machine.cpu;

/** A processor model: identification, features and limits, read from a data file. */
public final class CpuModel {
  /** Whether the model has a CPUID feature, by the SDM's name, for example "SSE4.1". */
  public boolean has(String feature) {
    return true;
  }

  /** Width of physical addresses in bits. */
  public int physicalAddressBits() {
    return 46;
  }
}
