/**
 * Physical memory: guest RAM outside the Java heap, the memory-mapped regions of devices, and the
 * gate through which every store to a page that holds decoded code passes.
 */
package dev.ringfence.machine.memory;
