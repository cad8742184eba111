package dev.ringfence.machine.device.acpi;

import static dev.ringfence.machine.device.acpi.Aml.busNumbers;
import static dev.ringfence.machine.device.acpi.Aml.device;
import static dev.ringfence.machine.device.acpi.Aml.eisaIdentifier;
import static dev.ringfence.machine.device.acpi.Aml.fixedMemory;
import static dev.ringfence.machine.device.acpi.Aml.ifTrue;
import static dev.ringfence.machine.device.acpi.Aml.integer;
import static dev.ringfence.machine.device.acpi.Aml.interrupt;
import static dev.ringfence.machine.device.acpi.Aml.list;
import static dev.ringfence.machine.device.acpi.Aml.memoryWindow;
import static dev.ringfence.machine.device.acpi.Aml.method;
import static dev.ringfence.machine.device.acpi.Aml.named;
import static dev.ringfence.machine.device.acpi.Aml.portWindow;
import static dev.ringfence.machine.device.acpi.Aml.ports;
import static dev.ringfence.machine.device.acpi.Aml.resources;
import static dev.ringfence.machine.device.acpi.Aml.returnName;
import static dev.ringfence.machine.device.acpi.Aml.scope;
import static dev.ringfence.machine.device.acpi.Aml.storeArgument0;
import static dev.ringfence.machine.device.acpi.Aml.string;

import dev.ringfence.machine.device.pci.PciHost;
import dev.ringfence.machine.interrupt.InterruptWiring;
import java.util.ArrayList;
import java.util.List;

/**
 * Content of the DSDT, in ASL:
 *
 * <pre>
 *  Name (PICM, 0)                                  // 1: interrupts go to the I/O APIC
 *  Method (_PIC, 1) { Store (Arg0, PICM) }
 *  Name (_S5, Package () { 5, 5, 0, 0 })
 *  Scope (_SB) {
 *    Device (C000) { _HID "ACPI0007", _UID 0 } ...  // one for each processor
 *    Device (PCI0) {
 *      _HID PNP0A03, _CRS bus 0, ports, memory
 *      Name (PRTP, ...) Name (PRTA, ...)           // routing to the 8259s and to the I/O APIC
 *      Method (_PRT, 0) { If (PICM) { Return (PRTA) } Return (PRTP) }
 *      Device (RTC) ... Device (COM1) ... Device (COM2) ...
 *    }
 *    Device (HPET) ...
 *  }
 * </pre>
 */
final class Dsdt {
  private static final int PCI_DEVICES = 32;
  private static final int PCI_PINS = 4;

  private Dsdt() {}

  static byte[] build(AcpiTables.Description description) {
    List<byte[]> system = new ArrayList<>();
    for (int i = 0; i < description.processors(); i++) {
      system.add(
          device(
              "C%03X".formatted(i), named("_HID", string("ACPI0007")), named("_UID", integer(i))));
    }
    system.add(pciRoot(description));
    if (description.hpetBase() != 0) {
      system.add(
          device(
              "HPET",
              named("_HID", eisaIdentifier("PNP0103")),
              named("_UID", integer(0)),
              named("_CRS", resources(fixedMemory(description.hpetBase(), 0x400)))));
    }
    byte[] sleepType = integer(description.sleepTypeS5());
    return Aml.concatenate(
        named("PICM", integer(0)),
        method("_PIC", 1, storeArgument0("PICM")),
        named("\\_S5", list(sleepType, sleepType, integer(0), integer(0))),
        scope("\\_SB", system.toArray(byte[][]::new)));
  }

  private static byte[] pciRoot(AcpiTables.Description description) {
    return device(
        "PCI0",
        named("_HID", eisaIdentifier("PNP0A03")),
        named("_UID", integer(0)),
        named("_BBN", integer(0)),
        named(
            "_CRS",
            resources(
                busNumbers(0, 0),
                ports(0xcf8, 8),
                portWindow(0, 0xcf7),
                portWindow(0xd00, 0xffff),
                memoryWindow(description.pciMemoryFirst(), description.pciMemoryLast()))),
        named("PRTP", routing(false)),
        named("PRTA", routing(true)),
        method("_PRT", 0, ifTrue("PICM", returnName("PRTA")), returnName("PRTP")),
        device(
            "RTC",
            named("_HID", eisaIdentifier("PNP0B00")),
            named("_CRS", resources(ports(0x70, 2), interrupt(8)))),
        serialPort("COM1", 1, 0x3f8, 4),
        serialPort("COM2", 2, 0x2f8, 3));
  }

  private static byte[] serialPort(String name, int number, int first, int irq) {
    return device(
        name,
        named("_HID", eisaIdentifier("PNP0501")),
        named("_UID", integer(number)),
        named("_STA", integer(15)),
        named("_CRS", resources(ports(first, 8), interrupt(irq))));
  }

  /** Routing of all pins of all devices, as {@link PciHost#wireOf} wires them (section 6.2.13). */
  private static byte[] routing(boolean toIoApic) {
    List<byte[]> rows = new ArrayList<>();
    // Device 0 is the host bridge, which has no interrupt.
    for (int device = 1; device < PCI_DEVICES; device++) {
      for (int pin = 0; pin < PCI_PINS; pin++) {
        int wire = PciHost.wireOf(device, pin + 1);
        int interrupt = toIoApic ? wire : InterruptWiring.picInputOfPci(wire);
        rows.add(
            list(
                integer((long) device << 16 | 0xffff),
                integer(pin),
                integer(0),
                integer(interrupt)));
      }
    }
    return list(rows.toArray(byte[][]::new));
  }
}
