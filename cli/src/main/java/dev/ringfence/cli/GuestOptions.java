package dev.ringfence.cli;

import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.MachineConfiguration;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Options that say what is booted on what machine. */
final class GuestOptions {
  static final long DEFAULT_MEMORY = 512L << 20;

  private static final String WRITABLE = ":writable";

  @Option(
      names = "--kernel",
      paramLabel = "FILE",
      description = {
        "Linux bzImage, kernel .deb, Multiboot 1 or ELF image.",
        "Default: the kernel that linux-image-cloud-amd64 depends on, fetched with apt-get."
      })
  private @Nullable Path kernel;

  @Option(
      names = "--initrd",
      paramLabel = "FILE",
      description = "An initramfs of your own; default: one built from busybox and packages.")
  private @Nullable Path initrd;

  @Option(
      names = "--package",
      paramLabel = "DEB",
      arity = "1..*",
      description =
          "Debian packages in the initramfs, by name (with all that they depend on) or .deb file.")
  private List<String> packages = new ArrayList<>();

  @Option(
      names = "--overlay",
      paramLabel = "DIR",
      arity = "1..*",
      description = "Folders laid over the initramfs.")
  private List<Path> overlays = new ArrayList<>();

  @Option(
      names = "--disk",
      paramLabel = "FILE[:writable]",
      description = "A raw image as virtio disk; writes are dropped at the end unless :writable.")
  private List<String> disks = new ArrayList<>();

  @Option(
      names = "--append",
      paramLabel = "TEXT",
      defaultValue = "",
      description = "More for the command line of the kernel.")
  private String append = "";

  @Option(
      names = "--memory",
      paramLabel = "SIZE",
      converter = MemorySize.class,
      description = "RAM, for example 512M or 4G. Default: 512M, more if the initramfs wants it.")
  private @Nullable Long memory;

  @Option(names = "--cpus", paramLabel = "N", defaultValue = "1", description = "Processors.")
  private int cpus = 1;

  @Option(
      names = "--cpu",
      paramLabel = "MODEL",
      defaultValue = MachineConfiguration.DEFAULT_CPU_MODEL,
      description = "Processor model. Default: ${DEFAULT-VALUE}.")
  private String cpuModel = MachineConfiguration.DEFAULT_CPU_MODEL;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "Seed of the machine's random numbers (RDRAND). Default: ${DEFAULT-VALUE}.")
  private long seed = 1;

  @Option(
      names = "--debug-exit-port",
      paramLabel = "PORT",
      defaultValue = "0xf4",
      converter = PortNumber.class,
      description = "Port of isa-debug-exit for bare guests. Default: ${DEFAULT-VALUE}.")
  private int debugExitPort = MachineConfiguration.DEFAULT_DEBUG_EXIT_PORT;

  @Option(
      names = "--exec",
      paramLabel = "COMMAND",
      description = "Run this in the guest's shell; its output and exit status become ours.")
  private @Nullable String command;

  @Option(names = "--verbose", description = "Show the kernel's messages.")
  private boolean verbose;

  @Mixin private TranslationOption translation = new TranslationOption();

  GuestRequest request(@Nullable String terminal) {
    return new GuestRequest(kernel, initrd, packages, overlays, command, append, terminal, verbose);
  }

  @Nullable String command() {
    return command;
  }

  boolean verbose() {
    return verbose;
  }

  /** The machine for a guest; memory that was not chosen is enough for it. */
  MachineConfiguration configuration(PreparedGuest guest, Consumer<String> progress) {
    long bytes = memory == null ? DEFAULT_MEMORY : memory;
    if (memory == null && guest.unpackedBytes() > 0 && guest.memoryNeeded() > bytes) {
      bytes = guest.memoryNeeded();
      progress.accept(
          "memory: %d MiB, because the initramfs unpacks to %d MiB"
              .formatted(bytes >> 20, guest.unpackedBytes() >> 20));
    }
    MachineConfiguration machine =
        MachineConfiguration.of(bytes, cpus)
            .withCpuModel(cpuModel)
            .withSeed(seed)
            .withDisks(disks.stream().map(GuestOptions::disk).toList());
    guest.checkMemory(bytes);
    machine = translation.applyTo(machine);
    return guest.image().isLinux() ? machine : machine.withTestDevices(debugExitPort);
  }

  private static Disk disk(String text) {
    boolean writable = text.endsWith(WRITABLE);
    Path file = Path.of(writable ? text.substring(0, text.length() - WRITABLE.length()) : text);
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(
          "--disk %s: expected a raw image file, found none".formatted(file));
    }
    return new Disk(file.toAbsolutePath(), writable);
  }

  /** Whether anything was given that a snapshot already settles. */
  void checkNothingBesideSnapshot() {
    if (kernel != null
        || initrd != null
        || !packages.isEmpty()
        || !overlays.isEmpty()
        || !disks.isEmpty()
        || !append.isEmpty()
        || memory != null
        || cpus != 1
        || command != null) {
      throw new BadInputException(
          "--from: expected no options about kernel, initramfs, disks, machine or command beside it, because the snapshot has them all, found one");
    }
  }
}
