/**
 * The tables by which a system learns about the platform (ACPI 6.5, chapter 5), and an encoder of
 * ACPI Machine Language for the one table that is a program.
 */
package dev.ringfence.machine.device.acpi;
