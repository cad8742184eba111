package dev.ringfence.oracle;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** What the host's processor is, as Linux tells in /proc/cpuinfo. */
final class HostFeatures {
  /** Features whose name in /proc/cpuinfo is not the SDM's name in small letters. */
  private static final Map<String, String> LINUX_NAMES =
      Map.of(
          "X87", "fpu",
          "SSE3", "pni",
          "SSE4.1", "sse4_1",
          "SSE4.2", "sse4_2",
          "CMPXCHG8B", "cx8",
          "CMPXCHG16B", "cx16",
          "CLFSH", "clflush",
          "LAHF", "lahf_lm");

  private static final Map<String, String> INFORMATION = read();
  private static final Set<String> FLAGS =
      Set.of(INFORMATION.getOrDefault("flags", "").split(" ", -1));

  private HostFeatures() {}

  private static Map<String, String> read() {
    Map<String, String> found = new HashMap<>();
    try {
      for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
        int colon = line.indexOf(':');
        if (colon > 0) {
          found.putIfAbsent(line.substring(0, colon).strip(), line.substring(colon + 1).strip());
        }
      }
    } catch (IOException e) {
      // Not Linux: the runner cannot start there and says so.
      found.clear();
    }
    return found;
  }

  static String vendor() {
    return INFORMATION.getOrDefault("vendor_id", "unknown");
  }

  /** One line about the processor, for reports. */
  static String description() {
    return "%s, %s, family %s model %s"
        .formatted(
            INFORMATION.getOrDefault("model name", "unknown processor"),
            vendor(),
            INFORMATION.getOrDefault("cpu family", "?"),
            INFORMATION.getOrDefault("model", "?"));
  }

  /**
   * Whether the host has a feature of the instruction table; the empty name is every processor's.
   */
  static boolean has(String feature) {
    return feature.isEmpty()
        || FLAGS.contains(LINUX_NAMES.getOrDefault(feature, feature.toLowerCase(Locale.ROOT)));
  }
}
