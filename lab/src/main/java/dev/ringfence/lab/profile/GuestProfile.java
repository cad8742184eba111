package dev.ringfence.lab.profile;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.ringfence.machine.profile.Activity;
import dev.ringfence.machine.profile.Profile;
import dev.ringfence.machine.profile.Profiler;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongFunction;

/**
 * A profile by function.
 *
 * @param functions those with most of the host's time first
 */
public record GuestProfile(Profile profile, List<Profile.Function> functions) {
  /** Name of the file in the folder of a run. */
  public static final String NAME = "profile.json";

  /** Functions on the terminal; the file has all. */
  private static final int MOST_LINES = 20;

  public GuestProfile {
    functions = List.copyOf(functions);
  }

  /** The profile with functions named. */
  public static GuestProfile of(Profile profile, LongFunction<String> naming) {
    return new GuestProfile(profile, profile.functions(naming));
  }

  /** Tables for the terminal. */
  public List<String> lines() {
    List<String> lines = new ArrayList<>();
    double seconds = profile.nanoseconds() / 1e9;
    lines.add(
        String.format(
            Locale.ROOT,
            "profile: %,d instructions in %.2f s, %.1f MIPS, %.1f %% where a translation is",
            profile.instructions(),
            seconds,
            profile.instructions() / seconds / 1e6,
            percent(profile.translatedSamples(), profile.instructionSamples())));
    lines.add(
        String.format(
            Locale.ROOT,
            "beside the guest: %,d regions translated in %.2f s (%,d bytes of bytecode, %,d failed,"
                + " cold code dropped %,d times, all %,d times), JVM compilers %.2f s, garbage collection %.2f s",
            profile.translation().regions(),
            profile.translation().nanoseconds() / 1e9,
            profile.translation().bytes(),
            profile.translation().failures(),
            profile.coldDrops(),
            profile.overflows(),
            profile.compilation() / 1e3,
            profile.collection() / 1e3));
    lines.add("");
    lines.add(String.format(Locale.ROOT, "%7s  %s", "time %", "the host's time"));
    profile.activities().entrySet().stream()
        .filter(entry -> entry.getValue() > 0)
        .sorted(Map.Entry.<Activity, Long>comparingByValue().reversed())
        .forEach(entry ->
            lines.add(
                String.format(
                    Locale.ROOT,
                    "%7.1f  %s",
                    percent(entry.getValue(), profile.hostSamples()),
                    entry.getKey().description())));
    lines.add("");
    lines.add(
        String.format(
            Locale.ROOT,
            "%7s  %15s  %12s  %s",
            "time %",
            "instructions",
            "translated %",
            "function"));
    for (Profile.Function function : functions.subList(0, Math.min(MOST_LINES, functions.size()))) {
      lines.add(
          String.format(
              Locale.ROOT,
              "%7.1f  %,15d  %12.1f  %s",
              percent(function.allHostSamples(), profile.hostSamples()),
              function.instructionSamples() * Profiler.INTERVAL,
              percent(function.translatedSamples(), function.instructionSamples()),
              function.name()));
    }
    return lines;
  }

  private static double percent(long part, long whole) {
    return whole == 0 ? 0 : 100.0 * part / whole;
  }

  /** Writes all functions and activities as JSON. */
  public void writeTo(Path file) {
    JsonMapper mapper = JsonMapper.builder().enable(SerializationFeature.INDENT_OUTPUT).build();
    ObjectNode root = mapper.createObjectNode();
    root.put("nanoseconds", profile.nanoseconds());
    root.put("instructions", profile.instructions());
    root.put("instructionsPerSample", Profiler.INTERVAL);
    root.put("instructionSamples", profile.instructionSamples());
    root.put("hostSamples", profile.hostSamples());
    root.put("translatedRegions", profile.translation().regions());
    root.put("translatedBytes", profile.translation().bytes());
    root.put("translationFailures", profile.translation().failures());
    root.put("codeOverflows", profile.overflows());
    root.put("coldCodeDrops", profile.coldDrops());
    root.put("translationNanoseconds", profile.translation().nanoseconds());
    root.put("compilerMilliseconds", profile.compilation());
    root.put("collectionMilliseconds", profile.collection());
    add(root.putObject("hostSamplesByActivity"), profile.activities());
    ArrayNode list = root.putArray("functions");
    for (Profile.Function function : functions) {
      ObjectNode node = list.addObject();
      node.put("name", function.name());
      node.put("instructionSamples", function.instructionSamples());
      node.put("translatedSamples", function.translatedSamples());
      add(node.putObject("hostSamplesByActivity"), function.hostSamples());
    }
    try {
      Files.writeString(file, mapper.writeValueAsString(root) + "\n");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void add(ObjectNode node, Map<Activity, Long> samples) {
    for (Activity activity : Activity.values()) {
      long count = samples.getOrDefault(activity, 0L);
      if (count > 0) {
        node.put(activity.name().toLowerCase(Locale.ROOT), count);
      }
    }
  }
}
