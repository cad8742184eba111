/** Models of processors: sizes, latencies and mechanisms, as data. */
package dev.ringfence.silicon.model;
