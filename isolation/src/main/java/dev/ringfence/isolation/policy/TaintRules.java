package dev.ringfence.isolation.policy;

/**
 * How domains of a class react to taints; masks of {@link Taint}.
 *
 * @param preventControl taints that require a control flush before the domain runs, to protect it
 *     from those who trained the predictors before
 * @param protectData taints that require a data flush before the domain runs, to protect those
 *     whose data lingers from it
 * @param set what running the domain leaves behind
 */
public record TaintRules(int preventControl, int protectData, int set) {
  /** Nothing flushed, nothing set. */
  public static final TaintRules NONE = new TaintRules(0, 0, 0);
}
