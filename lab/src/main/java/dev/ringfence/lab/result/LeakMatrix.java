package dev.ringfence.lab.result;

import java.util.List;

/**
 * Which attacks leaked under which mitigations, on one processor model.
 *
 * @param cpuModel processor model of the machine
 * @param seed that all secrets follow from
 * @param state {@code complete}, {@code partial}, or {@code left-out} if no attack was run
 * @param reason why it is not complete, else empty
 * @param columns mitigations, in the order of the matrix
 * @param rows attacks with their targets, in the order of the matrix
 * @param cells row by row; a matrix that is not complete lacks some
 */
public record LeakMatrix(
    String cpuModel,
    long seed,
    String state,
    String reason,
    List<Column> columns,
    List<Row> rows,
    List<Cell> cells) {
  public static final String COMPLETE = "complete";
  public static final String PARTIAL = "partial";
  public static final String LEFT_OUT = "left-out";

  /** No attack was run. */
  public static LeakMatrix leftOut(String cpuModel, String reason) {
    return new LeakMatrix(cpuModel, 0, LEFT_OUT, reason, List.of(), List.of(), List.of());
  }

  /**
   * A mitigation.
   *
   * @param name of the mitigation
   * @param title one line about it
   * @param commandLine what it adds to the kernel's command line
   * @param policy name of the policy that isolates, or empty
   * @param leftOut operation that the policy's flushes are without, or empty
   */
  public record Column(
      String name, String title, String commandLine, String policy, String leftOut) {}

  /**
   * An attack on a target.
   *
   * @param attack name of the attack
   * @param target name of the target
   * @param title of the attack
   * @param targetTitle where the secret lies
   * @param vulnerability the property of a processor that the attack needs
   * @param sources papers and documents that describe it
   */
  public record Row(
      String attack,
      String target,
      String title,
      String targetTitle,
      String vulnerability,
      List<String> sources) {}

  /**
   * What came out of one attack under one mitigation.
   *
   * @param attack name of the attack
   * @param target name of the target
   * @param column name of the mitigation
   * @param outcome one of {@link #LEAKED}, {@link #NOT_LEAKED}, {@link #NOT_APPLICABLE}, {@link
   *     #FAILED}
   * @param reason why it is not applicable or has failed, else empty
   * @param expected what must come out by what is published; empty if nothing is
   * @param expectedReason why
   * @param source who says so
   * @param agrees whether outcome and expectation agree, or there is no expectation
   * @param evidence of a run; {@link Evidence#NONE} if there was none
   */
  public record Cell(
      String attack,
      String target,
      String column,
      String outcome,
      String reason,
      String expected,
      String expectedReason,
      String source,
      boolean agrees,
      Evidence evidence) {
    /** More of the secret was told than can be guessed. */
    public static final String LEAKED = "leaked";

    public static final String NOT_LEAKED = "not leaked";

    /** The processor lacks what the attack or the mitigation needs. */
    public static final String NOT_APPLICABLE = "not applicable";

    /** It could not be tried: the set-up did not work, or the guest ran into trouble. */
    public static final String FAILED = "failed";
  }

  /**
   * What an attack did, for a reader who doubts the outcome.
   *
   * @param end how the attack ended
   * @param right bytes of the secret that it told
   * @param of bytes of the secret
   * @param bitsPerSecond right bits for each second of virtual time
   * @param chance probability that a guess has as many bytes right
   * @param secret hexadecimal
   * @param recovered hexadecimal, ?? for bytes that it did not tell
   * @param confidences the attack's own opinion of each byte, 0 to 100
   * @param nanoseconds of virtual time from the begin of the attack to its end
   * @param instructions in that time
   * @param transientLoads loads of wrong paths that went for the secret
   * @param held which structures held bytes of the secret when the attacker was about to run
   * @param notes other lines that it printed
   */
  public record Evidence(
      String end,
      int right,
      int of,
      double bitsPerSecond,
      double chance,
      String secret,
      String recovered,
      List<Double> confidences,
      long nanoseconds,
      long instructions,
      List<TransientLoad> transientLoads,
      List<Held> held,
      List<String> notes) {
    /** Of an attack that was not started. */
    public static final Evidence NONE =
        new Evidence("", 0, 0, 0, 1, "", "", List.of(), 0, 0, List.of(), List.of(), List.of());
  }

  /**
   * Transient loads of one instruction that went for the secret.
   *
   * @param instruction function and offset in the kernel, or address in user mode
   * @param way where a load took the bytes from, or what refused them
   * @param reached whether it received them
   * @param count how many there were
   */
  public record TransientLoad(String instruction, String way, boolean reached, long count) {}

  /**
   * What one structure of the processor held of the secret when the attacker was about to run.
   *
   * @param structure cache, buffer or load ports
   * @param instants at which it held any byte
   * @param of instants at which was looked: returns from the kernel to the attacker
   * @param mostBytes that it held at one of them
   */
  public record Held(String structure, long instants, long of, int mostBytes) {}
}
