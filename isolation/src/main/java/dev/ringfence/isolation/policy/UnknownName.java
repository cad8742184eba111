package dev.ringfence.isolation.policy;

import java.util.List;

/**
 * A name in a policy that the running kernel does not have: the rule can never match.
 *
 * @param file of the policy
 * @param line of the rule
 * @param what it should name: {@code slab cache} or {@code symbol}
 * @param name as the policy has it
 * @param nearest names of the kernel, most similar first
 */
public record UnknownName(String file, int line, String what, String name, List<String> nearest) {
  /** For people, one line. */
  public String message() {
    return "%s: line %d: expected a %s of this kernel, found %s%s"
        .formatted(
            file,
            line,
            what,
            name,
            nearest.isEmpty() ? "" : "; nearest: " + String.join(", ", nearest));
  }
}
