/**
 * PCI: configuration space, base address registers, capabilities, message-signalled interrupts (PCI
 * Local Bus Specification 3.0), behind configuration mechanism 1.
 */
package dev.ringfence.machine.device.pci;
