package dev.ringfence.lab.guest;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a user wants to have booted.
 *
 * @param kernel an image or a kernel's .deb; null for the one of the Debian release
 * @param initrd an archive of the user's own; null to have one built
 * @param packages names of Debian packages, or .deb files
 * @param overlays folders that are laid over the packages, later ones over earlier ones
 * @param modules of the kernel by name, which are loaded at boot, with all that they depend on
 * @param command what the guest's shell is to run; null for an interactive shell
 * @param append more for the kernel's command line
 * @param terminal name and size of the user's terminal as {@code NAME,COLUMNSxROWS}, or null
 * @param verbose whether the kernel's messages are to appear on the console
 */
public record GuestRequest(
    @Nullable Path kernel,
    @Nullable Path initrd,
    List<String> packages,
    List<Path> overlays,
    List<String> modules,
    @Nullable String command,
    String append,
    @Nullable String terminal,
    boolean verbose) {
  public GuestRequest {
    packages = List.copyOf(packages);
    overlays = List.copyOf(overlays);
    modules = List.copyOf(modules);
  }

  /** A guest that needs no modules but those of its devices. */
  public GuestRequest(
      @Nullable Path kernel,
      @Nullable Path initrd,
      List<String> packages,
      List<Path> overlays,
      @Nullable String command,
      String append,
      @Nullable String terminal,
      boolean verbose) {
    this(kernel, initrd, packages, overlays, List.of(), command, append, terminal, verbose);
  }

  /** The guest by default, with a command to run. */
  public static GuestRequest ofCommand(String command) {
    return new GuestRequest(null, null, List.of(), List.of(), command, "", null, false);
  }
}
