/**
 * What others say that an instruction does. {@link dev.ringfence.oracle.InstructionFuzz} generates
 * cases (a form of an instruction, a state before it), lets the host's real processor and the
 * machine execute them, and compares what came out.
 *
 * <p>The pieces, in the order in which a case passes them: {@code Forms} enumerates the ways to
 * write each row of the instruction table; {@code Encoding} chooses bytes; {@code CaseGenerator}
 * chooses a state; {@code NativeProcessor} and {@code MachineExecutor} execute; {@code Deviations}
 * says what correct processors may do differently; {@code Comparison} judges; {@code CaseText}
 * keeps a case as text.
 */
package dev.ringfence.oracle;
