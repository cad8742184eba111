/**
 * The architectural state of a processor: registers, flags, segments, control registers and modes,
 * and the processor that ties them to memory and interrupts. What instructions do to that state is
 * in {@code operation}.
 */
package dev.ringfence.machine.cpu;
