/**
 * The interpreter: decoded code kept by physical page, and the loop that executes micro-operations.
 * It runs cold code and is the oracle for every other executor.
 */
package dev.ringfence.machine.interpret;
