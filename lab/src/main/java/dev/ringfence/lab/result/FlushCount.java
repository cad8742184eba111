package dev.ringfence.lab.result;

/**
 * Flushes of one kind.
 *
 * @param event name of the event: {@code l1d-flush}
 * @param count how many
 */
public record FlushCount(String event, long count) {}
