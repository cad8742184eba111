package dev.ringfence.isolation.cost;

/**
 * A figure of the real world.
 *
 * @param low lower bound, inclusive
 * @param high upper bound, inclusive
 * @param source where it comes from, and how it follows from there
 * @param mark {@code S} if it was read in the source or follows from it by arithmetic, {@code R} if
 *     it is from memory or an estimate and is to be checked before a result rests on it
 */
public record Figure(double low, double high, String source, String mark) {}
