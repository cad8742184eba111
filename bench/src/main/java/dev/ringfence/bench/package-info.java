/** Benchmarks. Not a named module: JMH starts its forks on the class path. */
package dev.ringfence.bench;
