/** Address space isolation beneath an unmodified kernel. */
package dev.ringfence.isolation;
