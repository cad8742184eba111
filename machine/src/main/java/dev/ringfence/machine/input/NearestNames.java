package dev.ringfence.machine.input;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.apache.commons.text.similarity.JaroWinklerSimilarity;

/** Which of many valid names a wrong one was probably meant to be. */
public final class NearestNames {
  /** Below this similarity, of 0 to 1, a name is no help. */
  private static final double LEAST = 0.75;

  private static final int MOST = 3;

  private NearestNames() {}

  private record Candidate(String name, double similarity) {}

  /** At most three names, most similar first; empty if none is similar. */
  public static List<String> of(String wrong, Collection<String> valid) {
    return of(wrong, valid, MOST);
  }

  /** At most so many names, most similar first; empty if none is similar. */
  public static List<String> of(String wrong, Collection<String> valid, int count) {
    JaroWinklerSimilarity measure = new JaroWinklerSimilarity();
    String lower = wrong.toLowerCase(Locale.ROOT);
    return valid.stream()
        .distinct()
        .map(name -> new Candidate(name, measure.apply(lower, name.toLowerCase(Locale.ROOT))))
        .filter(candidate -> candidate.similarity >= LEAST)
        .sorted(
            Comparator.comparingDouble(Candidate::similarity)
                .reversed()
                .thenComparing(Candidate::name))
        .limit(count)
        .map(Candidate::name)
        .toList();
  }

  /** For the end of a message: {@code "; nearest: a, b"}, or nothing. */
  public static String hint(String wrong, Collection<String> valid) {
    List<String> nearest = of(wrong, valid).stream().map(Bytes::printable).toList();
    return nearest.isEmpty() ? "" : "; nearest: " + String.join(", ", nearest);
  }
}
