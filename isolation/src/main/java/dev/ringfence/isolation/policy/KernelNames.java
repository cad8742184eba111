package dev.ringfence.isolation.policy;

import java.util.Set;

/**
 * Names of the running kernel, against which those in a policy are checked.
 *
 * @param slabCaches names of all slab caches; empty if they are not known
 * @param symbols names of all symbols of the image; empty if they are not known
 */
public record KernelNames(Set<String> slabCaches, Set<String> symbols) {}
