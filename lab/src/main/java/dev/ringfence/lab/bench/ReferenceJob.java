package dev.ringfence.lab.bench;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.experiment.Experiment;
import dev.ringfence.lab.experiment.IsolationRun;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.Initramfs;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.zip.Deflater;
import org.apache.commons.compress.compressors.gzip.GzipCompressorOutputStream;
import org.apache.commons.compress.compressors.gzip.GzipParameters;
import org.jspecify.annotations.Nullable;

/** The job that {@code bench/reference} defines. */
public final class ReferenceJob {
  private static final long MEMORY_BYTES = 512L << 20;
  private static final String COMMAND_LINE = "console=ttyS0 quiet panic=-1";
  private static final String USERSPACE = "USERSPACE-UP";
  private static final String DONE = "WORK-DONE";
  private static final Pattern TOUCHED = Pattern.compile("TOUCHED-PAGES [1-9]");
  private static final int FILE_BYTES = 4000 * 4096;
  private static final long PEER_MINUTES = 10;
  private static final List<String> COMMANDS =
      List.of(
          "sh",
          "mount",
          "dd",
          "cat",
          "echo",
          "ls",
          "poweroff",
          "sleep",
          "gzip",
          "sha256sum",
          "grep",
          "find",
          "seq",
          "date");

  private final Path kernel;
  private final Path initrd;
  private final int work;

  /**
   * A job of files that {@link #prepare} made.
   *
   * @param work how many times the guest does the piece of work
   * @throws BadInputException if that is less than once
   */
  public ReferenceJob(Path kernel, Path initrd, int work) {
    if (work < 1) {
      throw new BadInputException("work: expected 1 or more, found " + work);
    }
    this.kernel = kernel;
    this.initrd = initrd;
    this.work = work;
  }

  /** The same job with another amount of work after the boot. */
  public ReferenceJob withWork(int times) {
    return new ReferenceJob(kernel, initrd, times);
  }

  Path kernel() {
    return kernel;
  }

  Path initrd() {
    return initrd;
  }

  private String commandLine() {
    return work == 1 ? COMMAND_LINE : COMMAND_LINE + " work=" + work;
  }

  /**
   * How a run went.
   *
   * @param userspaceSeconds until the first process ran; NaN if nobody looked
   * @param instructions 0 if nobody counted
   */
  public record Timing(
      double seconds, double userspaceSeconds, long instructions, long nanoseconds) {}

  /**
   * Builds kernel and initramfs.
   *
   * @param root of the project, for the job's files
   */
  public static ReferenceJob prepare(Path root, GuestCache cache, GuestPreparation preparation) {
    Path init = root.resolve("bench/reference/init");
    try (Initramfs initramfs = new Initramfs(cache)) {
      for (String folder : List.of("bin", "proc", "sys", "dev", "tmp")) {
        initramfs.folder(folder, 0755);
      }
      initramfs.file("bin/busybox", 0755, preparation.busyboxProgram());
      for (String command : COMMANDS) {
        initramfs.symlink("bin/" + command, "busybox");
      }
      initramfs.file("init", 0755, Files.readAllBytes(init));
      Path plain = cache.temporaryFile(".cpio");
      initramfs.writeTo(plain);
      Path compressed = cache.temporaryFile(".cpio.gz");
      compress(plain, compressed);
      return new ReferenceJob(preparation.defaultKernelImage(), compressed, 1);
    } catch (IOException e) {
      throw new BadInputException(init + ": the reference job cannot be built: " + e, e);
    }
  }

  private static void compress(Path plain, Path compressed) throws IOException {
    GzipParameters parameters = new GzipParameters();
    parameters.setCompressionLevel(Deflater.BEST_COMPRESSION);
    try (InputStream in = Files.newInputStream(plain);
        OutputStream out =
            new GzipCompressorOutputStream(Files.newOutputStream(compressed), parameters)) {
      in.transferTo(out);
    }
  }

  /** The guest, for a machine of {@link #configuration()}. */
  public PreparedGuest guest() {
    return new PreparedGuest(
        BootImage.of(BootFile.of(kernel)), List.of(BootFile.of(initrd)), commandLine(), null, 0);
  }

  public static MachineConfiguration configuration() {
    return MachineConfiguration.of(MEMORY_BYTES, 1);
  }

  /** Runs the job here; throws unless it did what it should. */
  public Timing runHere() {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    long start = System.nanoTime();
    try (Machine machine = new Machine(configuration())) {
      guest().loadInto(machine);
      GuestSession session =
          new GuestSession(
              machine, null, Long.MAX_VALUE, console, OutputStream.nullOutputStream(), true);
      double userspace = Double.NaN;
      while (session.advance(10_000_000).isEmpty()) {
        if (Double.isNaN(userspace) && text(console).contains(USERSPACE)) {
          userspace = (System.nanoTime() - start) / 1e9;
        }
      }
      check("Ringfence", text(console));
      return new Timing(
          (System.nanoTime() - start) / 1e9,
          userspace,
          machine.instructions(),
          machine.nanoseconds());
    }
  }

  /** Runs the job here under policies of isolation; throws unless it did what it should. */
  public Timing runIsolated(List<Policy> policies) {
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    long start = System.nanoTime();
    GuestRequest request =
        new GuestRequest(kernel, initrd, List.of(), List.of(), null, "", null, false);
    Experiment experiment =
        new Experiment(
            "reference",
            "The reference job.",
            guest(),
            request,
            configuration(),
            List.of(),
            true,
            Long.MAX_VALUE,
            policies,
            CostModel.load(CostModel.DEFAULT),
            false,
            true);
    IsolationRun.Outcome outcome =
        new IsolationRun(experiment, console, OutputStream.nullOutputStream(), progress -> {})
            .execute("bench");
    check("Ringfence", text(console));
    Manifest.Result result = outcome.result().manifest().result();
    return new Timing(
        (System.nanoTime() - start) / 1e9,
        Double.NaN,
        result == null ? 0 : result.instructions(),
        result == null ? 0 : result.nanoseconds());
  }

  /**
   * Runs the job on QEMU's TCG with one thread; throws unless it did what it should.
   *
   * @param plugin of {@link TouchPlugin}, or null for plain QEMU
   */
  public Timing runOnQemu(GuestCache cache, @Nullable Path plugin) throws InterruptedException {
    Path log = cache.temporaryFile(".log");
    List<String> command =
        new ArrayList<>(
            List.of(
                "qemu-system-x86_64",
                "-accel",
                "tcg,thread=single",
                "-m",
                String.valueOf(MEMORY_BYTES >> 20),
                "-cpu",
                "qemu64",
                "-kernel",
                kernel.toString(),
                "-initrd",
                initrd.toString(),
                "-append",
                commandLine(),
                "-nographic",
                "-no-reboot",
                "-monitor",
                "none"));
    if (plugin != null) {
      command.addAll(List.of("-plugin", plugin.toString()));
    }
    long start = System.nanoTime();
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
              .start();
      if (!process.waitFor(PEER_MINUTES, TimeUnit.MINUTES)) {
        process.destroyForcibly();
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      String output = Files.readString(log, StandardCharsets.ISO_8859_1);
      check("QEMU", output);
      if (plugin != null && !TOUCHED.matcher(output).find()) {
        throw new IllegalStateException(
            "QEMU: expected the plugin's count of touched pages, found:%n%s".formatted(output));
      }
      return new Timing(seconds, Double.NaN, 0, 0);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether there is a QEMU to compare with. */
  public static boolean hasQemu() {
    for (String folder : System.getenv().getOrDefault("PATH", "").split(":")) {
      if (Files.isExecutable(Path.of(folder).resolve("qemu-system-x86_64"))) {
        return true;
      }
    }
    return false;
  }

  /**
   * Throws unless a console shows that the work was done.
   *
   * @param who ran the job, for the message
   */
  public static void check(String who, String console) {
    String sum = expectedSum() + "  /tmp/file";
    for (String expected : List.of(USERSPACE, sum, DONE)) {
      if (!console.contains(expected)) {
        throw new IllegalStateException(
            "%s: expected '%s' on the console, found:%n%s".formatted(who, expected, console));
      }
    }
  }

  private static String expectedSum() {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(new byte[FILE_BYTES]);
      return HexFormat.of().formatHex(digest.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  private static String text(ByteArrayOutputStream console) {
    return console.toString(StandardCharsets.ISO_8859_1);
  }
}
