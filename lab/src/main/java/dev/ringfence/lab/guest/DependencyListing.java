package dev.ringfence.lab.guest;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.SequencedSet;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * The output of {@code apt-cache depends --recurse}, and which packages it makes necessary.
 *
 * <pre>
 * python3.11
 *   PreDepends: libc6            needed
 *  |Depends: media-types         one of this and the next line
 *   Depends: &lt;awk&gt;               a virtual package
 *     mawk                       a package that provides it
 * </pre>
 */
final class DependencyListing {
  /** Packages that each satisfy one dependency, the preferred one first. */
  private record Dependency(List<String> choices) {}

  private final Map<String, List<Dependency>> dependencies = new HashMap<>();

  DependencyListing(List<String> lines) {
    List<Dependency> current = new ArrayList<>();
    List<String> choices = new ArrayList<>();
    boolean more = false;
    for (String line : lines) {
      if (line.isBlank()) {
        continue;
      }
      if (!line.startsWith(" ")) {
        current = new ArrayList<>();
        // A package on hold or of another architecture may be listed twice; the first counts.
        dependencies.putIfAbsent(line.strip(), current);
        more = false;
      } else if (line.startsWith("    ")) {
        choices.add(line.strip());
      } else {
        int colon = line.indexOf(": ");
        String kind = line.substring(2, Math.max(2, colon));
        if (!kind.equals("Depends") && !kind.equals("PreDepends")) {
          continue;
        }
        if (!more) {
          choices = new ArrayList<>();
          current.add(new Dependency(choices));
        }
        String name = line.substring(colon + 2).strip();
        if (!name.startsWith("<")) {
          choices.add(name);
        }
        more = line.startsWith(" |");
      }
    }
  }

  boolean has(String name) {
    return dependencies.containsKey(name);
  }

  /** The packages themselves and all that they need, in alphabetical order. */
  SortedSet<String> closure(List<String> roots) {
    SequencedSet<String> chosen = new LinkedHashSet<>(roots);
    Deque<String> open = new ArrayDeque<>(roots);
    while (!open.isEmpty()) {
      for (Dependency dependency : dependencies.getOrDefault(open.remove(), List.of())) {
        if (dependency.choices.stream().anyMatch(chosen::contains)) {
          continue;
        }
        for (String choice : dependency.choices) {
          if (has(choice)) {
            chosen.add(choice);
            open.add(choice);
            break;
          }
        }
      }
    }
    return new TreeSet<>(chosen);
  }
}
