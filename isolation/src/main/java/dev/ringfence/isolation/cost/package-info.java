/**
 * Counted events and what they cost on a model of processor, each figure with a low and a high
 * bound, its source, and a mark that says how far it can be relied on.
 */
package dev.ringfence.isolation.cost;
