package dev.ringfence.machine;

import dev.ringfence.machine.translate.TranslationMode;
import java.time.Instant;
import java.util.List;

/**
 * What a machine is made of. Two machines of equal configuration that are given equal images and
 * equal console input run alike, instruction for instruction.
 *
 * @param memoryBytes RAM, a multiple of 1 MiB from 64 MiB to 512 GiB
 * @param processors how many, from 1 to 64
 * @param cpuModel name of the processor model
 * @param disks virtio block devices, in the order in which the guest finds them
 * @param seed of everything random that the machine provides, such as RDRAND
 * @param startDate what the real-time clock shows at power-on
 * @param debugExitPort I/O port of the isa-debug-exit device, 0 to leave it and pc-testdev out
 * @param translation when guest code is translated, which the guest cannot tell
 */
public record MachineConfiguration(
    long memoryBytes,
    int processors,
    String cpuModel,
    List<Disk> disks,
    long seed,
    Instant startDate,
    int debugExitPort,
    TranslationMode translation) {

  public static final String DEFAULT_CPU_MODEL = "skylake-server";

  /** Where bare guests of other emulators expect isa-debug-exit. */
  public static final int DEFAULT_DEBUG_EXIT_PORT = 0xf4;

  /** A fixed date, because a run that depended on the host's clock could not be repeated. */
  public static final Instant DEFAULT_START_DATE = Instant.parse("2026-01-01T00:00:00Z");

  public static final long MINIMUM_MEMORY = 64L << 20;
  public static final long MAXIMUM_MEMORY = 512L << 30;
  public static final int MAXIMUM_PROCESSORS = 64;

  public MachineConfiguration {
    disks = List.copyOf(disks);
    if (memoryBytes < MINIMUM_MEMORY
        || memoryBytes > MAXIMUM_MEMORY
        || (memoryBytes & 0xfffff) != 0) {
      throw new BadInputException(
          "memory: expected whole MiB from 64 MiB to 512 GiB, found %d bytes"
              .formatted(memoryBytes));
    }
    if (processors < 1 || processors > MAXIMUM_PROCESSORS) {
      throw new BadInputException(
          "processors: expected 1 to %d, found %d".formatted(MAXIMUM_PROCESSORS, processors));
    }
    if (debugExitPort < 0 || debugExitPort > 0xffff) {
      throw new BadInputException(
          "debug exit port: expected 0 to 0xffff, found 0x%x".formatted(debugExitPort));
    }
  }

  /** A machine of the default processor model without disks and test devices. */
  public static MachineConfiguration of(long memoryBytes, int processors) {
    return new MachineConfiguration(
        memoryBytes,
        processors,
        DEFAULT_CPU_MODEL,
        List.of(),
        1,
        DEFAULT_START_DATE,
        0,
        TranslationMode.ON);
  }

  public MachineConfiguration withCpuModel(String name) {
    return new MachineConfiguration(
        memoryBytes, processors, name, disks, seed, startDate, debugExitPort, translation);
  }

  public MachineConfiguration withMemory(long bytes) {
    return new MachineConfiguration(
        bytes, processors, cpuModel, disks, seed, startDate, debugExitPort, translation);
  }

  public MachineConfiguration withDisks(List<Disk> images) {
    return new MachineConfiguration(
        memoryBytes, processors, cpuModel, images, seed, startDate, debugExitPort, translation);
  }

  public MachineConfiguration withSeed(long value) {
    return new MachineConfiguration(
        memoryBytes, processors, cpuModel, disks, value, startDate, debugExitPort, translation);
  }

  /** Adds isa-debug-exit at a port, and pc-testdev. */
  public MachineConfiguration withTestDevices(int port) {
    return new MachineConfiguration(
        memoryBytes, processors, cpuModel, disks, seed, startDate, port, translation);
  }

  public MachineConfiguration withTranslation(TranslationMode mode) {
    return new MachineConfiguration(
        memoryBytes, processors, cpuModel, disks, seed, startDate, debugExitPort, mode);
  }
}
