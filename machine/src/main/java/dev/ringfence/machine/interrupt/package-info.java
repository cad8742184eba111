/**
 * Interrupt controllers: local APIC, I/O APIC and the pair of 8259 PICs, and the lines between them
 * and devices.
 */
package dev.ringfence.machine.interrupt;
