package dev.ringfence.linux.input;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import org.apache.commons.text.similarity.LevenshteinDistance;

/** Names that a misspelt one may have meant. */
public final class NearestNames {
  private static final int FEWEST_CHANGES = 3;

  private NearestNames() {}

  private record Candidate(String name, int distance) {}

  /**
   * The names with the fewest changed letters, nearest first; only those of which at most half has
   * to change.
   */
  public static List<String> to(String wanted, Collection<String> names, int count) {
    LevenshteinDistance distance =
        new LevenshteinDistance(Math.max(FEWEST_CHANGES, wanted.length() / 2));
    List<Candidate> candidates = new ArrayList<>();
    for (String name : names) {
      int changes = distance.apply(wanted, name);
      if (changes >= 0) {
        candidates.add(new Candidate(name, changes));
      }
    }
    return candidates.stream()
        .sorted(Comparator.comparingInt(Candidate::distance).thenComparing(Candidate::name))
        .map(Candidate::name)
        .distinct()
        .limit(count)
        .toList();
  }

  /** For the end of a message: {@code ; nearest: a, b}, empty if nothing is near. */
  public static String hint(String wanted, Collection<String> names) {
    List<String> nearest = to(wanted, names, 3).stream().map(Bytes::printable).toList();
    return nearest.isEmpty() ? "" : "; nearest: " + String.join(", ", nearest);
  }
}
