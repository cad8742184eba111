/**
 * The devices of the machine, each in a class of its own that can be tested without a guest: it
 * gets the clock, its interrupt line and, for DMA, physical memory, and shows registers as an
 * {@link dev.ringfence.machine.memory.IoRegion}.
 */
package dev.ringfence.machine.device;
