package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Supplier;

/**
 * The range FEE00000H to FEEFFFFFH as the processors see it: each finds the registers of its own
 * local APIC in the first page; elsewhere a write is an interrupt message. A processor may move the
 * page (IA32_APIC_BASE); pages that were moved to stay attached, and answer only the processors
 * that have their registers there.
 */
public final class LocalApicPage {
  private static final int PAGE = 4096;

  private final IoSpace memory;
  private final List<LocalApic> apics;
  private final ApicBus bus;
  private final Supplier<LocalApic> accessing;
  private final TreeSet<Long> attached = new TreeSet<>();

  /**
   * @param accessing gives the local APIC of the processor whose access is being served
   */
  public LocalApicPage(
      IoSpace memory, List<LocalApic> apics, ApicBus bus, Supplier<LocalApic> accessing) {
    this.memory = memory;
    this.apics = List.copyOf(apics);
    this.bus = bus;
    this.accessing = accessing;
    attach(ApicBus.MESSAGE_BASE);
    memory.attach(
        "interrupt messages",
        ApicBus.MESSAGE_BASE + PAGE,
        ApicBus.MESSAGE_BYTES - PAGE,
        new Messages());
    for (LocalApic apic : this.apics) {
      apic.setBaseListener(this::follow);
    }
    follow();
  }

  private void follow() {
    for (LocalApic apic : apics) {
      attach(apic.pageAddress());
    }
  }

  private void attach(long address) {
    // Over another device, or beyond the address space, the page is not reachable; RAM hides it
    // too.
    if (!attached.contains(address) && memory.isFree(address, PAGE)) {
      memory.attach("local APIC", address, PAGE, new Page(address));
      attached.add(address);
    }
  }

  private final class Page implements IoRegion {
    private final long address;

    Page(long address) {
      this.address = address;
    }

    @Override
    public long read(long offset, int bytes) {
      LocalApic apic = accessing.get();
      return apic.hasPageAt(address) ? apic.readPage(offset, bytes) : -1;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      LocalApic apic = accessing.get();
      if (apic.hasPageAt(address)) {
        apic.writePage(offset, bytes, value);
      } else if (address == ApicBus.MESSAGE_BASE) {
        bus.sendMemoryWrite(address + offset, (int) value);
      }
    }
  }

  private final class Messages implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return -1;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      bus.sendMemoryWrite(ApicBus.MESSAGE_BASE + PAGE + offset, (int) value);
    }
  }
}
