/**
 * What instructions mean, written once. A lifter turns a decoded instruction into {@link
 * dev.ringfence.machine.operation.MicroOperation micro-operations} on the slots of the register
 * file; each executor implements the few dozen codes of {@link
 * dev.ringfence.machine.operation.MicroCode} and calls the shared helpers for everything that is
 * rare or long.
 *
 * <p>Order within an instruction is part of the meaning: whatever can fault comes before whatever
 * changes architectural state, so that a fault leaves no trace and the instruction can restart.
 */
package dev.ringfence.machine.operation;
