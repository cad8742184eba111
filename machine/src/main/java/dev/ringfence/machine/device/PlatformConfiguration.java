package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.BlockBackend;
import dev.ringfence.machine.device.host.ConsoleOutput;
import dev.ringfence.machine.time.Frequency;
import java.time.Instant;
import java.util.List;

/**
 * What a platform is built from.
 *
 * @param processors number of processors, from 1 to 255
 * @param physicalAddressBits width of physical addresses that CPUID reports
 * @param apicTimer input clock of the local APIC timers: the core crystal clock of CPUID leaf 15H
 * @param startDate what the real-time clock shows at virtual time 0
 * @param seed of the entropy device
 * @param disks content of the virtio block devices, in order
 * @param serial sink of COM1
 * @param secondSerial sink of COM2
 * @param console sink of the virtio console
 * @param debugExitPort first of the four ports of isa-debug-exit, or 0 to leave it, pc-testdev and
 *     the configuration ports of bare test guests out
 */
public record PlatformConfiguration(
    int processors,
    int physicalAddressBits,
    Frequency apicTimer,
    Instant startDate,
    long seed,
    List<BlockBackend> disks,
    ConsoleOutput serial,
    ConsoleOutput secondSerial,
    ConsoleOutput console,
    int debugExitPort) {

  /** Most disks: the PCI devices of bus 0 but the bridge, console and entropy. */
  public static final int MAXIMUM_DISKS = 29;

  public PlatformConfiguration {
    disks = List.copyOf(disks);
    if (processors < 1 || processors > 255) {
      throw new IllegalArgumentException("expected 1 to 255 processors, got " + processors);
    }
    if (disks.size() > MAXIMUM_DISKS) {
      throw new IllegalArgumentException(
          "expected at most " + MAXIMUM_DISKS + " disks, got " + disks.size());
    }
  }
}
