/**
 * Guest code to JVM bytecode. An executor of the same micro-operations as the interpreter: it takes
 * regions of decoded blocks, makes one hidden class of each, and leaves everything that is not
 * common to the methods that the interpreter calls too.
 */
@org.jspecify.annotations.NullMarked
package dev.ringfence.machine.translate;
