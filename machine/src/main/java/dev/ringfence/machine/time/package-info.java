/**
 * Virtual time. The machine's clock counts nanoseconds, one for each instruction; while all
 * processors are halted it jumps to the next timer. Nothing here reads the host's clock.
 */
package dev.ringfence.machine.time;
