/**
 * The interpreter: decoded code kept by physical page, and the loop that executes micro-operations.
 * It runs cold code and is the oracle for every other executor. An {@link
 * dev.ringfence.machine.interpret.Executor} from a layer above may take its place.
 */
package dev.ringfence.machine.interpret;
