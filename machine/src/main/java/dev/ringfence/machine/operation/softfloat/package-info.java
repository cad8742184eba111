/**
 * IEEE 754 arithmetic as x86 defines it, in integer arithmetic and hence equal on every host. All
 * formats are computed in the layout of the 80-bit extended format, which holds every binary32 and
 * binary64 number exactly; what distinguishes the formats is the last step, rounding.
 */
package dev.ringfence.machine.operation.softfloat;
