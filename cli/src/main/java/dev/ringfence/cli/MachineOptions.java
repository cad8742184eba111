package dev.ringfence.cli;

import dev.ringfence.machine.MachineConfiguration;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What every command that boots a guest lets one choose: the images, and the machine's size. */
final class MachineOptions {
  /** RAM in bytes where neither options nor the guest say how much. */
  static final long DEFAULT_MEMORY = 512L << 20;

  private static final long DEFAULT_SEED = 1;

  @Mixin private KernelOptions kernelOptions = new KernelOptions();

  @Option(
      names = "--initrd",
      paramLabel = "FILE",
      description = {
        "An initramfs of your own; default: one built from busybox and packages.",
        "For 'run' it is the workload itself, from user mode to power-off."
      })
  private @Nullable Path initrd;

  @Option(
      names = "--memory",
      paramLabel = "SIZE",
      converter = MemorySize.class,
      description = {
        "RAM, for example 512M or 4G.",
        "Default: what the workload says, or 512M, more if the initramfs wants it."
      })
  private @Nullable Long memory;

  @Option(
      names = "--cpu",
      paramLabel = "MODEL",
      defaultValue = MachineConfiguration.DEFAULT_CPU_MODEL,
      description = "Processor model. Default: ${DEFAULT-VALUE}.")
  private String cpuModel = MachineConfiguration.DEFAULT_CPU_MODEL;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "" + DEFAULT_SEED,
      description =
          "Seed of the machine's random numbers (RDRAND), and of the secrets of attacks. Default: ${DEFAULT-VALUE}.")
  private long seed = DEFAULT_SEED;

  @Mixin private TranslationOption translation = new TranslationOption();

  KernelOptions kernelOptions() {
    return kernelOptions;
  }

  @Nullable Path kernel() {
    return kernelOptions.kernel();
  }

  @Nullable Path initrd() {
    return initrd;
  }

  String append() {
    return kernelOptions.append();
  }

  String cpuModel() {
    return cpuModel;
  }

  long seed() {
    return seed;
  }

  /** RAM in bytes that was asked for, null if that is left to the guest. */
  @Nullable Long memory() {
    return memory;
  }

  /** What does not change results, and so may be chosen anew for a saved machine. */
  TranslationOption translation() {
    return translation;
  }

  /** A configuration with all that was chosen here. */
  MachineConfiguration applyTo(MachineConfiguration configuration) {
    MachineConfiguration chosen =
        translation.applyTo(configuration.withCpuModel(cpuModel).withSeed(seed));
    return memory == null ? chosen : chosen.withMemory(memory);
  }

  /** Whether anything was chosen that a saved machine already settles. */
  boolean chosen() {
    return kernel() != null
        || initrd != null
        || !append().isEmpty()
        || memory != null
        || !cpuModel.equals(MachineConfiguration.DEFAULT_CPU_MODEL)
        || seed != DEFAULT_SEED;
  }
}
