package dev.ringfence.lab.profile;

import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.running.LoadedModule;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.boot.BootFile;
import java.util.HashMap;
import java.util.Map;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/** Names the functions of the kernel that runs in a machine, as far as it can be read. */
public final class KernelFunctions implements LongFunction<String> {
  private static final long PAGE = -4096;

  private final @Nullable RunningKernel kernel;

  /** By page, because finding a module takes a walk over a list of the guest. */
  private final Map<Long, String> modules = new HashMap<>();

  private KernelFunctions(@Nullable RunningKernel kernel) {
    this.kernel = kernel;
  }

  /**
   * Functions of the kernel that was booted from a file.
   *
   * @param file the image; null if the guest is no Linux
   */
  public static KernelFunctions of(Machine machine, @Nullable BootFile file) {
    if (file == null) {
      return new KernelFunctions(null);
    }
    try {
      return new KernelFunctions(
          RunningKernel.of(KernelImage.of(file.bytes(), file.baseName()), machine));
    } catch (BadInputException e) {
      // A profile by page is of use too.
      return new KernelFunctions(null);
    }
  }

  /** The function that contains an address of supervisor code, or its page if none is known. */
  @Override
  public String apply(long rip) {
    RunningKernel running = kernel;
    if (running == null) {
      return "page 0x%x".formatted(rip & PAGE);
    }
    Symbol symbol = running.symbolAt(rip);
    if (symbol == null) {
      return "outside the kernel's image";
    }
    String module = modules.computeIfAbsent(rip & PAGE, page -> suffix(running.moduleAt(page)));
    return symbol.name() + module;
  }

  private static String suffix(@Nullable LoadedModule module) {
    return module == null ? "" : " [" + module.name() + "]";
  }
}
