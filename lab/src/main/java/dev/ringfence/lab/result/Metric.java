package dev.ringfence.lab.result;

/**
 * One figure.
 *
 * @param name in dotted form: {@code guest.instructions}
 * @param unit of the value: {@code instructions}, {@code bytes}, {@code cycles}, {@code events};
 *     for checksums {@code hex}
 * @param meaning one sentence
 * @param value a number, or text for checksums
 */
public record Metric(String name, String unit, String meaning, Object value) {}
