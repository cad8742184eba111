package dev.ringfence.silicon.model;

/**
 * What a load that faults or needs an assist hands to younger instructions, until they are squashed
 * with it: which of the published mechanisms the processor has.
 *
 * @param supervisorFromL1 the translation is present and its permission is missing: the line, if
 *     the first-level cache has it (Meltdown)
 * @param terminalFaultUsesFrame the entry is not present or has reserved bits: the line at the
 *     address in the entry, if the first-level cache has it (L1TF)
 * @param storeBuffer stale entries of the store buffer at the same offset in a page (MSBDS)
 * @param fillBuffers stale contents of fill buffers (MFBDS)
 * @param loadPorts stale values of load ports (MLPDS)
 * @param transactionAbort loads between an asynchronous abort of a transaction and its squash take
 *     from all three of these, whatever their own switches say (TAA)
 * @param zeroOnFault what else remains: zero if set, otherwise nothing, and younger instructions
 *     that need the value do not execute
 * @param storeBypass whether a load may run ahead of older stores whose addresses are not known,
 *     while IA32_SPEC_CTRL.SSBD is clear (speculative store bypass)
 */
public record Forwarding(
    boolean supervisorFromL1,
    boolean terminalFaultUsesFrame,
    boolean storeBuffer,
    boolean fillBuffers,
    boolean loadPorts,
    boolean transactionAbort,
    boolean zeroOnFault,
    boolean storeBypass) {}
