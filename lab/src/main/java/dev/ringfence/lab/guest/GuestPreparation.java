package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Turns what a user asks for into what a machine needs. */
public final class GuestPreparation {
  /** The metapackage whose dependency is the kernel that is booted by default. */
  public static final String CLOUD_KERNEL = "linux-image-cloud-amd64";

  /** The metapackage of the kernel for any PC: the same source, more of it configured. */
  public static final String GENERIC_KERNEL = "linux-image-amd64";

  private static final String KERNEL_PREFIX = "linux-image-";
  private static final String BUSYBOX = "busybox-static";

  /**
   * The serial console, and a reset right after a panic. The kernel's tests of its own ciphers are
   * left out: they are nearly half of all instructions of a boot.
   */
  private static final String COMMAND_LINE = "console=ttyS0 panic=-1 cryptomgr.notests";

  /** Where our own files are in the guest. */
  private static final String OURS = ".ringfence/";

  private static final List<String> MODULES = List.of("virtio_pci", "virtio_blk", "virtio_console");

  /** Documentation and translations: most of a package's files, and no program reads them. */
  private static final List<String> LEFT_OUT =
      List.of(
          "usr/share/doc/",
          "usr/share/man/",
          "usr/share/info/",
          "usr/share/lintian/",
          "usr/share/bug/",
          "usr/share/locale/");

  private final GuestCache cache;
  private final Consumer<String> progress;
  private final Apt apt;

  /**
   * @param progress told what takes time, one line each
   */
  public GuestPreparation(GuestCache cache, Consumer<String> progress) {
    this.cache = cache;
    this.progress = progress;
    this.apt = new Apt(cache, progress);
  }

  /** Fetches and builds what is missing. */
  public PreparedGuest prepare(GuestRequest request) {
    KernelPackage kernelPackage = null;
    BootImage image;
    if (request.kernel() == null || DebPackage.isDebFile(request.kernel().toString())) {
      Path deb = request.kernel() == null ? kernel(CLOUD_KERNEL) : request.kernel();
      kernelPackage = KernelPackage.of(deb, cache, progress);
      image = BootImage.of(BootFile.of(kernelPackage.image()));
    } else {
      image = BootImage.of(BootFile.of(request.kernel()));
    }
    if (!image.isLinux()) {
      return prepareBare(request, image);
    }
    List<BootFile> initrds = new ArrayList<>();
    if (request.initrd() != null) {
      initrds.add(BootFile.of(request.initrd()));
    }
    long unpacked = 0;
    boolean ourInit = request.command() != null;
    String commandLine = commandLine(request, false);
    boolean build = request.initrd() == null || request.command() != null;
    if (build) {
      ArchiveCache.Archive archive = archive(request, kernelPackage);
      unpacked = archive.unpackedBytes();
      initrds.add(BootFile.of("initramfs", archive.file()));
      ourInit |= archive.initIsOurs();
      commandLine = commandLine(request, ourInit && !archive.initIsOurs());
    }
    Assignment assignment = ourInit ? new Assignment(request.command(), request.terminal()) : null;
    return new PreparedGuest(image, initrds, commandLine, assignment, unpacked);
  }

  private static PreparedGuest prepareBare(GuestRequest request, BootImage image) {
    if (request.command() != null
        || !request.packages().isEmpty()
        || !request.overlays().isEmpty()) {
      throw new BadInputException(
          "%s: expected a Linux kernel for --exec, --package and --overlay, found another image"
              .formatted(image.file().name()));
    }
    List<BootFile> modules =
        request.initrd() == null ? List.of() : List.of(BootFile.of(request.initrd()));
    return new PreparedGuest(image, modules, request.append(), null, 0);
  }

  /**
   * The kernel's command line.
   *
   * @param insteadOfInit whether our init program is to run although there is another /init
   */
  private static String commandLine(GuestRequest request, boolean insteadOfInit) {
    StringBuilder line = new StringBuilder(COMMAND_LINE);
    if (!request.verbose()) {
      line.append(" quiet");
    }
    if (insteadOfInit) {
      line.append(" rdinit=/").append(OURS).append("init");
    }
    if (!request.append().isBlank()) {
      line.append(' ').append(request.append().strip());
    }
    return line.toString();
  }

  /** The archive from the cache, or built. */
  private ArchiveCache.Archive archive(
      GuestRequest request, @Nullable KernelPackage kernelPackage) {
    boolean wholeSystem = request.initrd() == null;
    List<Path> debs = wholeSystem ? packages(request.packages()) : List.of();
    List<Path> overlays = wholeSystem ? request.overlays() : List.of();
    Path busybox = busybox();
    String key =
        ArchiveCache.key(
                cache, wholeSystem, debs, overlays, request.modules(), busybox, kernelPackage)
            .orElse(null);
    ArchiveCache archives = new ArchiveCache(cache.archives());
    if (key != null) {
      ArchiveCache.Archive known = archives.find(key).orElse(null);
      if (known != null) {
        return known;
      }
    }
    try (Initramfs initramfs = new Initramfs(cache)) {
      if (wholeSystem) {
        BaseFiles.addFolders(initramfs);
        for (Path deb : debs) {
          initramfs.debPackage(
              deb, path -> LEFT_OUT.stream().noneMatch(prefix -> path.startsWith(prefix)));
        }
        for (Path overlay : overlays) {
          initramfs.overlay(overlay);
        }
        BaseFiles.addSettings(initramfs);
      }
      addOurs(initramfs, busybox, kernelPackage, request.modules());
      boolean initIsOurs = wholeSystem && !initramfs.has("init");
      if (initIsOurs) {
        initramfs.symlink("init", OURS + "init");
      }
      Path file = cache.temporaryFile(".cpio");
      initramfs.writeTo(file);
      ArchiveCache.Archive built =
          new ArchiveCache.Archive(file, initramfs.unpackedBytes(), initIsOurs);
      return key == null ? built : archives.add(key, built);
    }
  }

  private void addOurs(
      Initramfs initramfs,
      Path busybox,
      @Nullable KernelPackage kernelPackage,
      List<String> modules) {
    initramfs.folder(OURS, 0755);
    initramfs.file(OURS + "busybox", 0755, busyboxProgram(busybox));
    initramfs.file(OURS + "init", 0755, resource("init"));
    if (kernelPackage != null) {
      initramfs.folder(OURS + "modules", 0755);
      int number = 0;
      List<String> wanted = new ArrayList<>(MODULES);
      modules.forEach(module -> wanted.add(KernelModule.moduleName(module)));
      for (KernelModule module : kernelPackage.modules(wanted)) {
        // The number makes the alphabetical order, in which init loads them, the right one.
        initramfs.file(
            String.format(Locale.ROOT, "%smodules/%02d-%s.ko", OURS, number++, module.name()),
            0644,
            module.content());
      }
    }
  }

  private List<Path> packages(List<String> wanted) {
    List<Path> files = new ArrayList<>();
    List<String> names = new ArrayList<>();
    for (String name : wanted) {
      if (DebPackage.isDebFile(name)) {
        Path file = Path.of(name);
        // Reads and so checks it before anything is built.
        new DebPackage(file).control();
        files.add(file);
      } else {
        names.add(name);
      }
    }
    if (!names.isEmpty()) {
      // Debian takes essential packages for granted, so no package depends on its shell.
      if (!names.contains("dash")) {
        names.add("dash");
      }
      try {
        files.addAll(0, apt.fetch(List.copyOf(apt.closure(names))));
      } catch (Apt.AptFailure e) {
        throw new BadInputException(
            "packages %s cannot be fetched (%s); on a machine with apt and a network run 'apt-get download' for each of them and what it depends on, and pass the files: --package FILE.deb"
                .formatted(String.join(" ", names), e.getMessage()),
            e);
      }
    }
    return files;
  }

  /**
   * The kernel package that a metapackage of Debian's depends on, fetched if it is not there yet.
   *
   * @param metapackage {@link #CLOUD_KERNEL} or another one of that form
   * @return the .deb file
   * @throws BadInputException if it is neither cached nor to be had
   */
  public Path kernel(String metapackage) {
    try {
      String name = apt.firstDependency(metapackage, KERNEL_PREFIX);
      return apt.fetch(List.of(name)).getFirst();
    } catch (Apt.AptFailure e) {
      // Kernels of other flavours may be in the cache, too: linux-image-6.1.0-9-amd64_...deb.
      String flavour = metapackage.substring(KERNEL_PREFIX.length());
      Path cached =
          apt.newestCached(KERNEL_PREFIX + "[0-9][^-_]*(-[0-9]+)?-" + Pattern.quote(flavour));
      if (cached != null) {
        return cached;
      }
      throw new BadInputException(
          "no kernel: the package that %s depends on cannot be fetched (%s); download it and pass it: --kernel linux-image-VERSION-%s.deb, or any bzImage: --kernel vmlinuz"
              .formatted(metapackage, e.getMessage(), flavour),
          e);
    }
  }

  /** The kernel that is booted by default. */
  public Path defaultKernelImage() {
    return kernelImage(CLOUD_KERNEL);
  }

  /** The bzImage in the package that a metapackage depends on. */
  public Path kernelImage(String metapackage) {
    return KernelPackage.of(kernel(metapackage), cache, progress).image();
  }

  /** A program that is the usual commands of a system in one, linked statically. */
  public byte[] busyboxProgram() {
    return busyboxProgram(busybox());
  }

  private static byte[] busyboxProgram(Path deb) {
    ByteArrayOutputStream program = new ByteArrayOutputStream();
    new DebPackage(deb)
        .forEachFile((entry, content) -> {
          if (FilePaths.withoutLeadingDots(entry.getName()).endsWith("bin/busybox")) {
            content.transferTo(program);
          }
        });
    if (program.size() == 0) {
      throw new BadInputException(deb + ": expected bin/busybox in the package, found none");
    }
    return program.toByteArray();
  }

  private Path busybox() {
    try {
      return apt.fetch(List.of(BUSYBOX)).getFirst();
    } catch (Apt.AptFailure e) {
      Path cached = apt.newestCached(BUSYBOX);
      if (cached != null) {
        return cached;
      }
      throw new BadInputException(
          "no userland: package %s cannot be fetched (%s); download it and put it into %s, or pass an initramfs of your own: --initrd FILE"
              .formatted(BUSYBOX, e.getMessage(), cache.packages()),
          e);
    }
  }

  private static byte[] resource(String name) {
    try (InputStream in = GuestPreparation.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IllegalStateException("resource " + name + " is missing");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
