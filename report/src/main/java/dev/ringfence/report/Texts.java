package dev.ringfence.report;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.apache.commons.text.similarity.LevenshteinDistance;

/** Small work on text for the terminal. */
final class Texts {
  private Texts() {}

  /** Without what a terminal would obey or what would break a line. */
  static String plain(String text) {
    if (text.codePoints().allMatch(Texts::isPrintable)) {
      return text;
    }
    return text.codePoints()
        .mapToObj(c -> isPrintable(c) ? Character.toString(c) : "?")
        .collect(Collectors.joining());
  }

  private static boolean isPrintable(int c) {
    return switch (Character.getType(c)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.SURROGATE,
          Character.PRIVATE_USE,
          Character.UNASSIGNED,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR ->
          false;
      default -> true;
    };
  }

  /** Cut to a width, with the end kept, as the end of a path or symbol tells more. */
  static String fit(String text, int width) {
    if (text.length() <= width) {
      return text;
    }
    int tail = (width - 2) / 2;
    return text.substring(0, width - 2 - tail) + ".." + text.substring(text.length() - tail);
  }

  /** Lines of at most a width, broken at spaces; a longer word stays whole. */
  static List<String> wrap(String text, int width, String indent) {
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder(indent);
    for (String word : plain(text).strip().split(" +", -1)) {
      if (line.length() + 1 + word.length() > width && line.length() > indent.length()) {
        lines.add(line.toString());
        line = new StringBuilder(indent);
      }
      line.append(line.length() == indent.length() ? "" : " ").append(word);
    }
    lines.add(line.toString());
    return lines;
  }

  /** Up to three names that are like the given one, nearest first. */
  static List<String> nearest(String wanted, List<String> names) {
    LevenshteinDistance distance = LevenshteinDistance.getDefaultInstance();
    String lower = wanted.toLowerCase(Locale.ROOT);
    return names.stream()
        .sorted(
            Comparator.comparing(
                (String name) -> distance.apply(lower, name.toLowerCase(Locale.ROOT))))
        .limit(3)
        .toList();
  }
}
