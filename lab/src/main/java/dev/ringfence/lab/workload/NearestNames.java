package dev.ringfence.lab.workload;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import org.apache.commons.text.similarity.LevenshteinDistance;

/** Suggestions for names that do not exist. */
final class NearestNames {
  private static final int MOST = 3;

  private record Candidate(String name, int distance) {}

  private NearestNames() {}

  /**
   * The candidates that differ least from a name, best first: at most three, and none that differs
   * in more than a third of its letters.
   */
  static List<String> of(String name, Collection<String> candidates) {
    int threshold = Math.max(1, Math.min(4, name.length() / 3));
    LevenshteinDistance distance = new LevenshteinDistance(threshold);
    return candidates.stream()
        .filter(candidate -> Math.abs(candidate.length() - name.length()) <= threshold)
        .map(candidate -> new Candidate(candidate, distance.apply(name, candidate)))
        .filter(candidate -> candidate.distance >= 0)
        .sorted(Comparator.comparingInt(Candidate::distance).thenComparing(Candidate::name))
        .limit(MOST)
        .map(Candidate::name)
        .toList();
  }

  /** The suggestions as the end of a message, beginning with a space; empty without any. */
  static String hint(String name, Collection<String> candidates) {
    List<String> nearest = of(name, candidates);
    return nearest.isEmpty() ? "" : " (nearest: " + String.join(", ", nearest) + ")";
  }
}
