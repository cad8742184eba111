package dev.ringfence.machine.probe;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.interpret.CodeCache;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.Invalidations;
import java.util.ArrayList;
import java.util.List;

/**
 * The probes of a machine. Probes are told in the order in which they were added. To be used while
 * the machine does not run, or by a probe.
 */
public final class Probes {
  /**
   * CPUID leaf that is a marker: "RING" in ASCII. No processor defines it, so it reads there as any
   * leaf beyond the highest; programs that issue it run unchanged anywhere.
   */
  public static final int MARKER_LEAF = 0x52494e47;

  private final List<Processor> processors;
  private final CodeCache code;
  private final PhysicalMemory physical;
  private final List<Probe> probes = new ArrayList<>();

  /** For {@link dev.ringfence.machine.Machine}. */
  public Probes(List<Processor> processors, CodeCache code, PhysicalMemory physical) {
    this.processors = processors;
    this.code = code;
    this.physical = physical;
  }

  public void add(Probe probe) {
    probes.add(probe);
    connect();
  }

  public void remove(Probe probe) {
    probes.remove(probe);
    connect();
  }

  /** Takes all probes away but those of code. */
  public void clear() {
    probes.clear();
    connect();
  }

  private void connect() {
    Probe told =
        switch (probes.size()) {
          case 0 -> null;
          case 1 -> probes.getFirst();
          default -> new ProbeList(List.copyOf(probes));
        };
    for (Processor processor : processors) {
      processor.setProbe(told);
      processor
          .memory()
          .setGuestPages(
              told == null
                  ? null
                  : (physical, bytes) -> told.machineReached(processor, physical, bytes));
      processor
          .memory()
          .setInvalidations(
              told == null
                  ? null
                  : new Invalidations() {
                    @Override
                    public void page(long linear) {
                      told.pageInvalidated(processor, linear);
                    }

                    @Override
                    public void all(boolean global) {
                      told.translationsInvalidated(processor, global);
                    }
                  });
    }
  }

  /**
   * Sets what is called before the instruction at an address is executed. The address is that of an
   * instruction; it is translated now, and the probe then belongs to the physical address, in
   * whatever address space it is executed. An address has one probe; it replaces the one before.
   *
   * @param processor by whose tables the address is translated
   * @return whether the address is mapped to RAM; otherwise nothing was set
   */
  public boolean setCodeProbe(Processor processor, long linear, CodeProbe probe) {
    return setCodeProbe(processor.memory().probe(linear), probe);
  }

  /**
   * Sets what is called before the instruction at a physical address is executed. An address has
   * one probe; it replaces the one before.
   *
   * @return whether the address is RAM; otherwise nothing was set
   */
  public boolean setCodeProbe(long address, CodeProbe probe) {
    if (address < 0 || !physical.isRam(address, 1)) {
      return false;
    }
    code.setProbe(address, probe);
    return true;
  }

  /** Takes the probe of an address away, if it has one. */
  public void clearCodeProbe(Processor processor, long linear) {
    clearCodeProbe(processor.memory().probe(linear));
  }

  /** Takes the probe of a physical address away, if it has one. */
  public void clearCodeProbe(long address) {
    if (address >= 0 && physical.isRam(address, 1)) {
      code.clearProbe(address);
    }
  }
}
