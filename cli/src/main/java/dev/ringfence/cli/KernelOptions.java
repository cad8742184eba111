package dev.ringfence.cli;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which kernel boots, and what its command line has beyond what it needs. */
final class KernelOptions {
  @Option(
      names = "--kernel",
      paramLabel = "FILE",
      description = {
        "Linux bzImage or kernel .deb; 'boot' also takes Multiboot 1 and ELF images.",
        "Default: the kernel that linux-image-cloud-amd64 depends on, fetched with apt-get."
      })
  private @Nullable Path kernel;

  @Option(
      names = "--append",
      paramLabel = "TEXT",
      defaultValue = "",
      description = "More for the command line of the kernel.")
  private String append = "";

  @Nullable Path kernel() {
    return kernel;
  }

  String append() {
    return append;
  }
}
