package dev.ringfence.lab.bench;

import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Measures {@link Figure}s: whole processes, ours and the peer's in turn, so that what else the
 * host does meets both. A ratio is the median of the pairs' ratios.
 */
public final class ReferenceFigures {
  /** The policy of the figures with isolation. */
  public static final String POLICY = "google-2025";

  private static final int LONG_WORK = 10;
  private static final long MINUTES = 30;
  private static final Pattern PEAK = Pattern.compile("VmHWM:\\s+(\\d+) kB");
  private static final Pattern REPORT =
      Pattern.compile("job: (\\d+) instructions, peak (\\d+) KiB");

  private final ReferenceJob job;
  private final Path launcher;
  private final GuestCache cache;
  private final @Nullable Path plugin;
  private final Consumer<String> progress;
  private final Map<Kind, List<Double>> seconds = new EnumMap<>(Kind.class);
  private final Map<Kind, Long> instructions = new EnumMap<>(Kind.class);
  private final Map<Kind, Long> peakKib = new EnumMap<>(Kind.class);

  /** A run of one side of a figure. Neighbours are compared, so they run one after the other. */
  private enum Kind {
    COLD,
    QEMU,
    ISOLATED,
    QEMU_TOUCH,
    LONG_ISOLATED,
    LONG,
    QEMU_LONG
  }

  /**
   * What was measured.
   *
   * @param value to compare with the figure's must and aim, in its unit
   * @param ours median seconds of our runs; for memory, the largest resident MiB
   * @param theirs median seconds of what ours is compared with; for memory, the guest's RAM in MiB
   * @param values of the pairs
   */
  public record Result(
      Figure figure, double value, double ours, double theirs, List<Double> values) {}

  /**
   * Prepares measurements.
   *
   * @param launcher the program {@code ringfence}
   * @param plugin of {@link TouchPlugin}; null if figure A is not wanted
   */
  public ReferenceFigures(
      ReferenceJob job,
      Path launcher,
      GuestCache cache,
      @Nullable Path plugin,
      Consumer<String> progress) {
    this.job = job;
    this.launcher = launcher;
    this.cache = cache;
    this.plugin = plugin;
    this.progress = progress;
  }

  /** The line that a child process ends with, for the process that started it. */
  public static String report(ReferenceJob.Timing timing) {
    return "job: %d instructions, peak %d KiB".formatted(timing.instructions(), ownPeakKib());
  }

  /** Measures; each kind of run happens once a pair, whatever number of figures wants it. */
  public List<Result> measure(Set<Figure> figures, int pairs) throws InterruptedException {
    Set<Kind> kinds = EnumSet.noneOf(Kind.class);
    for (Figure figure : figures) {
      kinds.addAll(kinds(figure));
    }
    for (int pair = 1; pair <= pairs; pair++) {
      for (Kind kind : kinds) {
        double taken = run(kind);
        seconds.computeIfAbsent(kind, key -> new ArrayList<>()).add(taken);
        progress.accept("pair %d of %d: %s %.2f s".formatted(pair, pairs, kind, taken));
      }
    }
    return figures.stream().map(this::result).toList();
  }

  /** Whether a figure needs QEMU. */
  public static boolean needsPeer(Figure figure) {
    return kinds(figure).stream().anyMatch(kind -> kind.name().startsWith("QEMU"));
  }

  /** Ours, then what it is compared with. */
  private static List<Kind> kinds(Figure figure) {
    return switch (figure) {
      case A -> List.of(Kind.ISOLATED, Kind.QEMU_TOUCH);
      case B -> List.of(Kind.COLD, Kind.QEMU);
      case C -> List.of(Kind.LONG, Kind.QEMU_LONG);
      case D -> List.of(Kind.LONG_ISOLATED, Kind.LONG);
      case E -> List.of(Kind.ISOLATED);
    };
  }

  private double run(Kind kind) throws InterruptedException {
    return switch (kind) {
      case COLD -> child(kind, 1, false);
      case ISOLATED -> child(kind, 1, true);
      case LONG -> child(kind, LONG_WORK, false);
      case LONG_ISOLATED -> child(kind, LONG_WORK, true);
      case QEMU -> job.runOnQemu(cache, null).seconds();
      case QEMU_TOUCH -> job.runOnQemu(cache, plugin).seconds();
      case QEMU_LONG -> job.withWork(LONG_WORK).runOnQemu(cache, null).seconds();
    };
  }

  /** A whole process of ours: the start of the JVM and cold code are in its time. */
  private double child(Kind kind, int work, boolean isolated) throws InterruptedException {
    Path log = cache.temporaryFile(".log");
    List<String> command =
        new ArrayList<>(
            List.of(
                launcher.toString(),
                "bench",
                "job",
                "--kernel",
                job.kernel().toString(),
                "--initrd",
                job.initrd().toString(),
                "--work",
                String.valueOf(work)));
    if (isolated) {
      command.addAll(List.of("--policy", POLICY));
    }
    long start = System.nanoTime();
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
      try {
        if (!process.waitFor(MINUTES, TimeUnit.MINUTES)) {
          throw new IllegalStateException(
              "ringfence bench job: expected its end within %d minutes".formatted(MINUTES));
        }
      } finally {
        process.destroyForcibly();
      }
      double taken = (System.nanoTime() - start) / 1e9;
      String output = Files.readString(log, StandardCharsets.UTF_8);
      Matcher report = REPORT.matcher(output);
      if (process.exitValue() != 0 || !report.find()) {
        throw new IllegalStateException(
            "ringfence bench job: expected status 0 and a report, found status %d:%n%s"
                .formatted(process.exitValue(), output));
      }
      long counted = Long.parseLong(report.group(1));
      Long before = instructions.putIfAbsent(kind, counted);
      if (before != null && before != counted) {
        throw new IllegalStateException(
            "%s: expected %d instructions as before, found %d".formatted(kind, before, counted));
      }
      peakKib.merge(kind, Long.parseLong(report.group(2)), Math::max);
      return taken;
    } catch (IOException e) {
      throw new BadInputException(launcher + ": cannot be started: " + e.getMessage(), e);
    }
  }

  private Result result(Figure figure) {
    if (figure == Figure.E) {
      double ram = ReferenceJob.configuration().memoryBytes() / 1048576.0;
      double peak = peakKib.values().stream().mapToLong(Long::longValue).max().orElse(0) / 1024.0;
      return new Result(figure, peak - ram, peak, ram, List.of(peak - ram));
    }
    List<Double> ours = seconds.getOrDefault(kinds(figure).getFirst(), List.of());
    List<Double> theirs = seconds.getOrDefault(kinds(figure).getLast(), List.of());
    List<Double> ratios = new ArrayList<>();
    for (int i = 0; i < ours.size(); i++) {
      ratios.add(ours.get(i) / theirs.get(i));
    }
    return new Result(figure, median(ratios), median(ours), median(theirs), ratios);
  }

  private static double median(List<Double> values) {
    List<Double> sorted = values.stream().sorted().toList();
    int middle = sorted.size() / 2;
    return sorted.size() % 2 == 1
        ? sorted.get(middle)
        : (sorted.get(middle - 1) + sorted.get(middle)) / 2;
  }

  /** Writes results, and of all runs seconds, instructions and largest resident KiB, as JSON. */
  public void write(Path file, List<Result> results) {
    List<Map<String, Object>> figures = new ArrayList<>();
    for (Result result : results) {
      Map<String, Object> entry = new LinkedHashMap<>();
      entry.put("figure", result.figure().name());
      entry.put("title", result.figure().title());
      entry.put("unit", result.figure().unit());
      entry.put("must", result.figure().must());
      entry.put("aim", result.figure().aim());
      entry.put("value", result.value());
      entry.put("ours", result.ours());
      entry.put("theirs", result.theirs());
      entry.put("values", result.values());
      figures.add(entry);
    }
    Map<String, Object> whole = new LinkedHashMap<>();
    whole.put("figures", figures);
    whole.put("seconds", seconds);
    whole.put("instructions", instructions);
    whole.put("peakKib", peakKib);
    try {
      JsonMapper.builder()
          .build()
          .writerWithDefaultPrettyPrinter()
          .writeValue(file.toFile(), whole);
    } catch (IOException e) {
      throw new BadInputException(
          "%s: expected a file that can be written: %s".formatted(file, e.getMessage()), e);
    }
  }

  /** Largest resident memory of this process so far (proc(5), VmHWM). */
  private static long ownPeakKib() {
    try {
      Matcher peak = PEAK.matcher(Files.readString(Path.of("/proc/self/status")));
      if (peak.find()) {
        return Long.parseLong(peak.group(1));
      }
      throw new IllegalStateException("/proc/self/status: expected VmHWM, found none");
    } catch (IOException e) {
      throw new IllegalStateException("/proc/self/status: cannot be read: " + e.getMessage(), e);
    }
  }
}
