/**
 * Virtio devices (OASIS Virtual I/O Device specification 1.2) on PCI: split virtqueues that expect
 * hostile drivers, the modern PCI transport, and block, console and entropy devices.
 */
package dev.ringfence.machine.device.virtio;
