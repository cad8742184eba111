package dev.ringfence.lab.result;

import java.util.List;

/**
 * All that came out of attacks: the content of {@code attack.json}.
 *
 * @param format version of this description
 * @param versions of the software, for people
 * @param seed that all secrets follow from; with equal programs and packages it gives the result
 *     again
 * @param kernel what the machines booted
 * @param matrices one for each processor model
 */
public record AttackResult(
    int format, List<String> versions, long seed, String kernel, List<LeakMatrix> matrices) {
  public static final int FORMAT = 1;

  /** Of the file in a result's folder. */
  public static final String NAME = "attack.json";
}
