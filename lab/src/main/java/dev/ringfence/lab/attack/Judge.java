package dev.ringfence.lab.attack;

/**
 * Tells a leak from a guess.
 *
 * <p>The bytes of a {@link Secret} are independent and uniform, so whoever knows nothing of them is
 * right about each with probability 1/256, whatever he prints. The number of bytes that he has
 * right is then binomial, and the probability of as many or more is the chance that a result is no
 * leak.
 */
public final class Judge {
  /**
   * A result that a guess equals less often than this is a leak. A matrix has some hundred cells,
   * so a false leak appears in about one matrix of a million.
   */
  public static final double LEAST_CHANCE = 1e-9;

  private static final double GUESS = 1.0 / 256;

  private Judge() {}

  /**
   * How well an attack did.
   *
   * @param right bytes of the secret that it printed
   * @param of bytes of the secret
   * @param bitsPerSecond right bits for each second of virtual time
   * @param chance probability that a guess has as many bytes right
   */
  public record Score(int right, int of, double bitsPerSecond, double chance) {
    /** Whether it cannot have been guessed. */
    public boolean leaked() {
      return chance < LEAST_CHANCE;
    }
  }

  /**
   * Compares.
   *
   * @param output of the attack
   * @param nanoseconds of virtual time that it took
   */
  static Score score(Secret secret, AttackOutput output, long nanoseconds) {
    int right = 0;
    for (int i = 0; i < secret.length(); i++) {
      if (output.value(i) == secret.at(i)) {
        right++;
      }
    }
    double seconds = Math.max(nanoseconds, 1) / 1e9;
    return new Score(right, secret.length(), right * 8 / seconds, tail(right, secret.length()));
  }

  /**
   * Probability that a guess has at least so many of so many bytes right.
   *
   * @param right 0 or more
   * @param of at least {@code right}
   */
  static double tail(int right, int of) {
    if (right == 0) {
      return 1;
    }
    // From the rarest case upwards, so that nothing small is added to something large.
    double sum = 0;
    for (int k = of; k >= right; k--) {
      sum += Math.exp(logOfChoose(of, k) + k * Math.log(GUESS) + (of - k) * Math.log1p(-GUESS));
    }
    return Math.min(sum, 1);
  }

  private static double logOfChoose(int n, int k) {
    double log = 0;
    for (int i = 1; i <= Math.min(k, n - k); i++) {
      log += Math.log((double) (n - i + 1) / i);
    }
    return log;
  }
}
