package dev.ringfence.machine.device;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.Firmware;
import dev.ringfence.machine.boot.MemoryRange;
import dev.ringfence.machine.device.acpi.AcpiTables;
import dev.ringfence.machine.device.host.BlockBackend;
import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.device.pci.PciFunction;
import dev.ringfence.machine.device.pci.PciHost;
import dev.ringfence.machine.device.virtio.VirtioBlock;
import dev.ringfence.machine.device.virtio.VirtioConsole;
import dev.ringfence.machine.device.virtio.VirtioEntropy;
import dev.ringfence.machine.device.virtio.VirtioPci;
import dev.ringfence.machine.interrupt.ApicBus;
import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.interrupt.InterruptWiring;
import dev.ringfence.machine.interrupt.IoApic;
import dev.ringfence.machine.interrupt.LocalApic;
import dev.ringfence.machine.interrupt.LocalApicPage;
import dev.ringfence.machine.interrupt.Pic8259;
import dev.ringfence.machine.memory.ByteWideRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntSupplier;

/**
 * The board: everything of the PC that is neither processor nor RAM, built, wired and in the state
 * in which firmware would hand it to a system.
 *
 * <pre>
 *  ports                                      memory
 *  0020 00A0 04D0  8259 pair                  000E0000  ACPI tables (in RAM)
 *  0040 0061       PIT                        C0000000  PCI devices, up to FEBFFFFF
 *  0060 0064 0092  keyboard controller        FEC00000  I/O APIC
 *  0070            RTC                        FED00000  HPET
 *  00E0 2000       test device                FEE00000  local APICs, interrupt messages
 *  00F4            debug exit                 FF000000  test device
 *  02F8 03F8       serial ports               PCI device 1 console, 2 entropy, from 3 on disks
 *  0510            test configuration
 *  0600            ACPI power management
 *  0CF8            PCI configuration, reset control
 * </pre>
 */
public final class Platform {
  /** Where the ACPI tables lie; systems look for them from here to 1 MiB. */
  public static final long ACPI_ADDRESS = 0xe_0000;

  /** Bytes from {@link #ACPI_ADDRESS} on that a memory map must show as reserved. */
  public static final long ACPI_BYTES = 0x2_0000;

  private static final int TIMER_IRQ = 0;
  private static final int SECOND_SERIAL_IRQ = 3;
  private static final int SERIAL_IRQ = 4;
  private static final int RTC_IRQ = 8;
  private static final int SCI_IRQ = 9;

  private static final int CONSOLE_DEVICE = 1;
  private static final int ENTROPY_DEVICE = 2;
  private static final int FIRST_DISK_DEVICE = 3;

  private final PlatformConfiguration configuration;
  private final PhysicalMemory memory;
  private final ApicBus bus = new ApicBus();
  private final Pic8259 pic = new Pic8259();
  private final IoApic ioApic = new IoApic(bus);
  private final InterruptWiring wiring = new InterruptWiring(pic, ioApic);
  private final List<LocalApic> localApics = new ArrayList<>();
  private final Pit8254 pit;
  private final CmosRtc rtc;
  private final Hpet hpet;
  private final AcpiPowerManagement power;
  private final KeyboardController keyboardController;
  private final ResetControl resetControl;
  private final Uart16550 serial;
  private final Uart16550 secondSerial;
  private final FirmwareConfiguration firmwareConfiguration;
  private final PciHost pciHost;
  private final VirtioConsole console;
  private final VirtioEntropy entropy;
  private final List<VirtioPci> virtioDevices = new ArrayList<>();
  private final List<Stateful> parts = new ArrayList<>();

  /**
   * Builds the board.
   *
   * @param memory RAM, and the space to which memory-mapped registers are attached
   * @param ports the space to which port registers are attached
   * @param timeStampCounter for the TSC deadlines of the local APICs
   * @param accessing number of the processor whose access is being served
   * @param machine told when the guest switches off, resets or ends the run
   */
  public Platform(
      PlatformConfiguration configuration,
      PhysicalMemory memory,
      IoSpace ports,
      VirtualClock clock,
      Frequency timeStampCounter,
      IntSupplier accessing,
      MachineControl machine) {
    this.configuration = configuration;
    this.memory = memory;
    IoSpace registers = memory.devices();

    for (int i = 0; i < configuration.processors(); i++) {
      localApics.add(
          new LocalApic(
              i,
              configuration.physicalAddressBits(),
              bus,
              pic,
              clock,
              configuration.apicTimer(),
              timeStampCounter));
    }
    LocalApicPage unused =
        new LocalApicPage(registers, localApics, bus, () -> localApics.get(accessing.getAsInt()));
    pic.attachTo(ports);
    pic.connect(asserted -> localApics.forEach(apic -> apic.setLint0(asserted)));
    registers.attach("I/O APIC", IoApic.BASE, IoApic.BYTES, ioApic);

    List<InterruptLine> routes = new ArrayList<>();
    for (int i = 0; i < Hpet.ROUTES; i++) {
      routes.add(wiring.connect(Hpet.FIRST_ROUTE + i));
    }
    hpet = new Hpet(clock, List.of(wiring.connect(TIMER_IRQ), wiring.connect(RTC_IRQ)), routes);
    registers.attach("HPET", Hpet.BASE, Hpet.BYTES, hpet);
    pit = new Pit8254(clock, unlessReplaced(wiring.connect(TIMER_IRQ)));
    pit.attachTo(ports);
    rtc =
        new CmosRtc(
            clock,
            unlessReplaced(wiring.connect(RTC_IRQ)),
            configuration.startDate(),
            memory.sizeBelowHole(),
            memory.sizeAboveHole());
    ports.attach("RTC", 0x70, 2, new ByteWideRegion(rtc));

    power = new AcpiPowerManagement(clock, wiring.connect(SCI_IRQ), machine);
    power.attachTo(ports);
    keyboardController = new KeyboardController(machine);
    keyboardController.attachTo(ports);
    resetControl = new ResetControl(machine);

    serial = new Uart16550("serial-1", wiring.connect(SERIAL_IRQ), configuration.serial());
    ports.attach("serial port 1", 0x3f8, Uart16550.PORTS, new ByteWideRegion(serial));
    secondSerial =
        new Uart16550("serial-2", wiring.connect(SECOND_SERIAL_IRQ), configuration.secondSerial());
    ports.attach("serial port 2", 0x2f8, Uart16550.PORTS, new ByteWideRegion(secondSerial));

    firmwareConfiguration = new FirmwareConfiguration(configuration.processors(), memory.size());

    pciHost = new PciHost(ports, registers, resetControl);
    console = new VirtioConsole("console", memory, bus, configuration.console());
    attachPci(CONSOLE_DEVICE, console.transport());
    entropy = new VirtioEntropy("entropy", memory, bus, configuration.seed());
    attachPci(ENTROPY_DEVICE, entropy.transport());
    for (int i = 0; i < configuration.disks().size(); i++) {
      BlockBackend disk = configuration.disks().get(i);
      attachPci(
          FIRST_DISK_DEVICE + i,
          new VirtioBlock("disk-" + i, memory, bus, clock, disk).transport());
    }
    pciHost.assignAddresses();
    if (configuration.debugExitPort() != 0) {
      attachTestDevices(ports);
      attachDebugExit(ports, machine);
    }

    listParts();
    localApics.getFirst().enterVirtualWireMode();
    installAcpiTables();
  }

  private InterruptLine unlessReplaced(InterruptLine line) {
    return asserted -> line.set(asserted && !hpet.replacesLegacy());
  }

  private void attachTestDevices(IoSpace ports) {
    List<InterruptLine> wires = new ArrayList<>();
    for (int i = 0; i < InterruptWiring.WIRES; i++) {
      wires.add(wiring.connect(i));
    }
    TestDevice device = new TestDevice(wires);
    device.attachTo(ports, memory.devices());
    parts.add(device);
    firmwareConfiguration.attachTo(ports);
  }

  private void attachDebugExit(IoSpace ports, MachineControl machine) {
    int first = configuration.debugExitPort();
    if (!ports.isFree(first, DebugExit.PORTS)) {
      throw new BadInputException(
          "debug exit port: expected %d free ports, found another device at 0x%x"
              .formatted(DebugExit.PORTS, first));
    }
    ports.attach("debug exit", first, DebugExit.PORTS, new DebugExit(machine));
  }

  private void attachPci(int device, VirtioPci transport) {
    PciFunction function = transport.function();
    int pin = 1;
    int wire = PciHost.wireOf(device, pin);
    function.setInterrupt(pin, InterruptWiring.picInputOfPci(wire), wiring.connect(wire));
    pciHost.attach(device, function);
    virtioDevices.add(transport);
  }

  private void listParts() {
    parts.addAll(
        List.of(
            pit,
            rtc,
            hpet,
            power,
            keyboardController,
            resetControl,
            serial,
            secondSerial,
            firmwareConfiguration,
            pciHost));
    parts.addAll(pciHost.functions());
    for (VirtioPci transport : virtioDevices) {
      parts.add(transport.messages());
      parts.add(transport);
    }
    // The receivers of interrupts come last: what a device does while it is restored cannot reach
    // them after they have their own state.
    parts.add(wiring);
    parts.add(pic);
    parts.add(ioApic);
    parts.addAll(localApics);
  }

  /** Writes the ACPI tables to RAM, as firmware does before it starts a system. */
  private void installAcpiTables() {
    byte[] tables = acpiTables();
    memory.write(ACPI_ADDRESS, tables, 0, tables.length);
  }

  /** The ACPI tables, made for {@link #ACPI_ADDRESS}; the RSDP comes first. */
  public byte[] acpiTables() {
    return AcpiTables.build(
        new AcpiTables.Description(
            configuration.processors(),
            SCI_IRQ,
            AcpiPowerManagement.BASE,
            AcpiPowerManagement.BASE + AcpiPowerManagement.CONTROL,
            AcpiPowerManagement.BASE + AcpiPowerManagement.TIMER,
            AcpiPowerManagement.SLEEP_TYPE_S5,
            ResetControl.PORT,
            ResetControl.RESET_VALUE,
            Hpet.BASE,
            Hpet.IDENTIFIER,
            PhysicalMemory.HOLE_START,
            IoApic.BASE - 1),
        ACPI_ADDRESS);
  }

  /** What a boot loader must know of the memory that the board took. */
  public Firmware firmware() {
    return new Firmware(
        ACPI_ADDRESS,
        List.of(
            reserved(ACPI_ADDRESS, ACPI_BYTES),
            reserved(IoApic.BASE, IoApic.BYTES),
            reserved(Hpet.BASE, Hpet.BYTES),
            reserved(ApicBus.MESSAGE_BASE, ApicBus.MESSAGE_BYTES)));
  }

  private static MemoryRange reserved(long start, long length) {
    return new MemoryRange(start, length, MemoryRange.Type.RESERVED);
  }

  /** The local APICs by processor number. The machine connects each to its processor. */
  public List<LocalApic> localApics() {
    return localApics;
  }

  /** Everything whose state belongs to a snapshot, in the order of saving and restoring. */
  public List<Stateful> parts() {
    return List.copyOf(parts);
  }

  /** Offers input to COM1. */
  public void receiveSerial(byte[] bytes) {
    serial.receive(bytes);
  }

  /** Offers input to COM2. */
  public void receiveSecondSerial(byte[] bytes) {
    secondSerial.receive(bytes);
  }

  /** Offers input to the virtio console. */
  public void receiveConsole(byte[] bytes) {
    console.receive(bytes);
  }

  /** Presses the power button: an orderly shutdown, if the guest listens. */
  public void pressPowerButton() {
    power.pressPowerButton();
  }
}
