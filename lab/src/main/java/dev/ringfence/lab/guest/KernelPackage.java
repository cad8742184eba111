package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Kernel and virtio modules of a Debian kernel package. Unpacking takes seconds, so both stay in
 * the cache, in a folder that is named by the package file and its size.
 */
public final class KernelPackage {
  private static final String MODULE_SUFFIX = ".ko";

  /** Modules that are unpacked: drivers of our devices, and virtualization. */
  private static final List<String> MODULE_PREFIXES = List.of("virtio", "kvm", "irqbypass");

  /** In the name of a folder, so that one which an earlier version has unpacked is not found. */
  private static final String LAYOUT = "-2";

  private final Path image;
  private final Path moduleFolder;

  private KernelPackage(Path folder) {
    this.image = folder.resolve("vmlinuz");
    this.moduleFolder = folder.resolve("modules");
  }

  /** Takes a package apart, unless the cache has it already. */
  public static KernelPackage of(Path deb, GuestCache cache, Consumer<String> progress) {
    try {
      Path folder = cache.extracted().resolve(deb.getFileName() + "-" + Files.size(deb) + LAYOUT);
      if (!Files.isDirectory(folder)) {
        progress.accept("unpacking " + deb.getFileName());
        extract(deb, folder);
      }
      return new KernelPackage(folder);
    } catch (IOException e) {
      throw new BadInputException(deb + ": cannot be unpacked: " + e, e);
    }
  }

  private static boolean isWanted(String name) {
    return name.endsWith(MODULE_SUFFIX) && MODULE_PREFIXES.stream().anyMatch(name::startsWith);
  }

  private static void extract(Path deb, Path folder) throws IOException {
    Path temporary = Files.createTempDirectory(folder.getParent(), "new-");
    Files.createDirectory(temporary.resolve("modules"));
    DebPackage debPackage = new DebPackage(deb);
    debPackage.control();
    debPackage.forEachFile((entry, content) -> {
      String path = FilePaths.withoutLeadingDots(entry.getName());
      String name = path.substring(path.lastIndexOf('/') + 1);
      if (!entry.isFile()) {
        return;
      }
      if (path.startsWith("boot/vmlinuz")) {
        Files.copy(content, temporary.resolve("vmlinuz"));
      } else if (isWanted(name)) {
        Files.copy(content, temporary.resolve("modules").resolve(name));
      }
    });
    if (!Files.exists(temporary.resolve("vmlinuz"))) {
      throw new BadInputException(
          deb + ": expected a kernel package with boot/vmlinuz-*, found none in it");
    }
    try {
      Files.move(temporary, folder, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      // Another run was faster; what it left is the same.
      if (!Files.isDirectory(folder)) {
        throw e;
      }
    }
  }

  /** The bzImage. */
  public Path image() {
    return image;
  }

  /** The modules and what they depend on, in an order in which they can be loaded. */
  List<KernelModule> modules(List<String> names) {
    Map<String, KernelModule> all = new TreeMap<>();
    try (Stream<Path> files = Files.list(moduleFolder)) {
      for (Path file : files.sorted().toList()) {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        Files.copy(file, content);
        KernelModule module = KernelModule.of(file.toString(), content.toByteArray());
        all.put(module.name(), module);
      }
    } catch (IOException e) {
      throw new BadInputException(moduleFolder + ": cannot be read: " + e, e);
    }
    Set<KernelModule> ordered = new LinkedHashSet<>();
    for (String name : names) {
      addWithDependencies(name, all, ordered, new ArrayList<>());
    }
    return List.copyOf(ordered);
  }

  private static void addWithDependencies(
      String name, Map<String, KernelModule> all, Set<KernelModule> ordered, List<String> path) {
    KernelModule module = all.get(name);
    // What is not among the modules is built into the kernel.
    if (module == null || ordered.contains(module) || path.contains(name)) {
      return;
    }
    path.add(name);
    for (String dependency : module.dependencies()) {
      addWithDependencies(dependency, all, ordered, path);
    }
    path.removeLast();
    ordered.add(module);
  }
}
