package dev.ringfence.isolation.cost;

/**
 * What one event costs, or one part of that: a predictor barrier costs its execution, and the
 * mispredictions that follow it.
 *
 * @param name of the cost: {@code ibpb}
 * @param event that causes it
 * @param meaning one sentence
 * @param cycles of one event
 */
public record CostEntry(String name, Event event, String meaning, Figure cycles) {}
