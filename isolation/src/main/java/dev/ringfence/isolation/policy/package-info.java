/**
 * Policies of address space isolation, as data: what is sensitive, what happens at kernel entries,
 * interrupts and context switches, and which transition flushes what.
 *
 * <p>A policy is a YAML file ({@code docs/policies.md} describes it, {@code policy.schema.json} is
 * its schema). {@link Policy#load} reads a built-in one by its name or a file; {@link
 * Policy#compile} turns its rules into tables that are asked for every page.
 */
package dev.ringfence.isolation.policy;
