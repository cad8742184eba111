package dev.ringfence.isolation.monitor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A machine that runs the guest of guest/isolation, stopped where the guest is ready to run its
 * first user code. Each step of its script is one system call or interrupt.
 */
final class SmallGuest implements AutoCloseable {
  /** Pages that tests make of them what they like: 8 MiB and following. */
  static final long FRAME = 0x800;

  /** An address of the user's, which both processes map to the first page of the script. */
  static final long USER = 0x40_1000;

  static final Provenance SLAB = new Provenance(PageKind.SLAB, "filp", 0, false);
  static final Provenance CACHE = new Provenance(PageKind.PAGE_CACHE, "file", 0, true);
  static final Provenance ANONYMOUS = new Provenance(PageKind.ANONYMOUS, "", 0, true);

  private static final long SCRIPT = 0x20_5000;
  private static final int STEPS = 512;
  private static final long MOST_INSTRUCTIONS = 1_000_000;
  private static final int READY = 3;
  private static final int PAUSED = 1;

  final Machine machine = new Machine(MachineConfiguration.of(64 << 20, 1).withTestDevices(0xf4));
  final SmallKernel kernel = new SmallKernel(machine);
  private @Nullable IsolationMonitor monitor;
  private int written;

  /** Boots. */
  SmallGuest(Path image) {
    machine.load(BootImage.of(BootFile.of(image)), "", List.of());
    runTo(READY);
  }

  /** Builds the guest: a 32-bit ELF file as Multiboot wants it, with 64-bit code. */
  static Path build(Path folder) throws IOException, InterruptedException {
    for (String tool : List.of("gcc", "objcopy")) {
      assumeTrue(
          Arrays.stream(System.getenv("PATH").split(":"))
              .anyMatch(path -> Files.isExecutable(Path.of(path, tool))),
          tool + " is not installed");
    }
    Path script = Path.of(System.getProperty("ringfence.root"), "guest", "isolation", "build.sh");
    run(folder, script.toString(), folder.toString());
    return folder.resolve("kernel");
  }

  private static void run(Path folder, String... command) throws IOException, InterruptedException {
    Path output = folder.resolve("output");
    Process process =
        new ProcessBuilder(command)
            .directory(folder.toFile())
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    boolean ended = process.waitFor(60, TimeUnit.SECONDS);
    process.destroyForcibly();
    assertTrue(ended, command[0] + " does not end");
    assertEquals(0, process.exitValue(), Files.readString(output));
  }

  /** Puts policies beneath the kernel. */
  IsolationMonitor attach(Set<Vulnerability> vulnerabilities, Policy... policies) {
    IsolationMonitor attached =
        new IsolationMonitor(machine, kernel, List.of(policies), vulnerabilities);
    monitor = attached;
    return attached;
  }

  IsolationMonitor attach(Policy... policies) {
    return attach(Set.of(), policies);
  }

  /** Appends a step to the script. */
  SmallGuest step(long operation, long... arguments) {
    assertTrue(written < STEPS, "the script is full");
    long at = SCRIPT + 32L * written++;
    machine.memory().writeLong(at, operation);
    for (int i = 0; i < arguments.length; i++) {
      machine.memory().writeLong(at + 8 + 8L * i, arguments[i]);
    }
    return this;
  }

  SmallGuest nothing() {
    return step(1);
  }

  SmallGuest load(long linear) {
    return step(2, linear);
  }

  /** Loads from a frame through the map of all memory. */
  SmallGuest loadFrame(long frame) {
    return load(kernel.directMap(frame));
  }

  SmallGuest store(long linear, long value) {
    return step(3, linear, 0, value);
  }

  /** Maps a page of the areas to a frame, 0 for none. */
  SmallGuest map(int page, long frame, boolean invalidate) {
    long entry = frame == 0 ? 0 : frame << 12 | 0x63;
    return step(4, entryOf(page), entry, invalidate ? area(page) : 0);
  }

  SmallGuest allocate(long frame, int pages, boolean user) {
    return step(5, frame, pages, user ? 1 : 0);
  }

  SmallGuest free(long frame, int pages) {
    return step(6, frame, pages);
  }

  SmallGuest switchTask(long next, boolean previousEnded) {
    return step(7, next, previousEnded ? 1 : 0);
  }

  SmallGuest switchAddressSpace(long root) {
    return step(8, root);
  }

  /** INT 80H in the kernel, whose handler loads from an address, if it is not 0. */
  SmallGuest interruptKernel(long linear) {
    return step(9, linear);
  }

  SmallGuest dropTranslations() {
    return step(10);
  }

  /** INT 80H in user code. */
  SmallGuest interruptUser(long linear) {
    return step(100, linear);
  }

  /** An INT whose gate users must not call. */
  SmallGuest forbiddenInterrupt() {
    return step(101);
  }

  static long area(int page) {
    return SmallKernel.AREAS + 4096L * page;
  }

  private long entryOf(int page) {
    return kernel.directMap(SmallKernel.AREA_TABLE >>> 12) + 8L * page;
  }

  /** Runs the steps that have been added, and stops in the kernel at the end of the last. */
  void run() {
    step(0);
    runTo(PAUSED);
  }

  private void runTo(int status) {
    StopReason reason =
        machine.run(RunLimits.untilInstruction(machine.instructions() + MOST_INSTRUCTIONS));
    assertEquals(new StopReason.DebugExit(status), reason, () -> machine.report("not expected"));
  }

  /** Everything that the guest's result consists of. */
  String result() {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      List<String> parts = new ArrayList<>();
      parts.add(HexFormat.of().formatHex(digest.digest()));
      parts.add(Long.toString(machine.instructions()));
      parts.add(Long.toString(machine.nanoseconds()));
      parts.add(Arrays.toString(machine.processors().getFirst().state().r));
      return String.join(" ", parts);
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  @Override
  public void close() {
    if (monitor != null) {
      monitor.close();
    }
    machine.close();
  }
}
