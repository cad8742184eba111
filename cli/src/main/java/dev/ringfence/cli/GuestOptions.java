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
  private static final String WRITABLE = ":writable";

  @Mixin private MachineOptions machine = new MachineOptions();

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

  @Option(names = "--cpus", paramLabel = "N", defaultValue = "1", description = "Processors.")
  private int cpus = 1;

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

  GuestRequest request(@Nullable String terminal) {
    return new GuestRequest(
        machine.kernel(),
        machine.initrd(),
        packages,
        overlays,
        command,
        machine.append(),
        terminal,
        verbose);
  }

  @Nullable String command() {
    return command;
  }

  boolean verbose() {
    return verbose;
  }

  /** How the machine executes, which a snapshot or a manifest does not settle. */
  TranslationOption translation() {
    return machine.translation();
  }

  /** The machine for a guest; memory that was not chosen is enough for it. */
  MachineConfiguration configuration(PreparedGuest guest, Consumer<String> progress) {
    Long chosen = machine.memory();
    long bytes = chosen == null ? MachineOptions.DEFAULT_MEMORY : chosen;
    if (chosen == null && guest.unpackedBytes() > 0 && guest.memoryNeeded() > bytes) {
      bytes = guest.memoryNeeded();
      progress.accept(
          "memory: %d MiB, because the initramfs unpacks to %d MiB"
              .formatted(bytes >> 20, guest.unpackedBytes() >> 20));
    }
    MachineConfiguration configuration =
        machine
            .applyTo(MachineConfiguration.of(bytes, cpus))
            .withDisks(disks.stream().map(GuestOptions::disk).toList());
    guest.checkMemory(bytes);
    return guest.image().isLinux() ? configuration : configuration.withTestDevices(debugExitPort);
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
    if (machine.chosen()
        || !packages.isEmpty()
        || !overlays.isEmpty()
        || !disks.isEmpty()
        || cpus != 1
        || command != null) {
      throw new BadInputException(
          "--from: expected no options about kernel, initramfs, disks, machine or command beside it, because the snapshot has them all, found one");
    }
  }
}
