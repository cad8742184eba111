package dev.ringfence.machine.cpu;

/**
 * How software has restricted what a logical processor does ahead of time, whichever register of
 * which vendor says it: IA32_SPEC_CTRL and IA32_TSX_CTRL (SDM volume 4, table 2-2), EFER.AIBRSE,
 * DE_CFG, DE_CFG2 and LS_CFG of AMD ("Software Techniques for Managing Speculation on AMD
 * Processors"; "Speculative Store Bypass Disable"; "Technical Guidance for Mitigating Branch Type
 * Confusion").
 *
 * @param indirectBranchRestricted IBRS: indirect branches are not predicted from what less
 *     privileged modes trained
 * @param siblingPredictorsApart STIBP: nor from what the other logical processor of the core
 *     trained
 * @param storeBypassDisabled SSBD: loads wait for the addresses of older stores
 * @param returnAlternateDisabled RRSBA_DIS_S: returns of supervisor mode are predicted by the
 *     return stack only
 * @param branchHistoryApart BHI_DIS_S: indirect branches of supervisor mode are not predicted from
 *     the history of user mode
 * @param loadFenceSerializes whether LFENCE holds back younger instructions, as it always does on
 *     Intel
 * @param nonBranchPredictionDisabled SuppressBPOnNonBr: what the front end fetched because of a
 *     prediction for an instruction that is no branch is not executed
 * @param transactionsDisabled RTM_DISABLE: XBEGIN aborts before anything of the transaction
 *     executes
 */
public record SpeculationControl(
    boolean indirectBranchRestricted,
    boolean siblingPredictorsApart,
    boolean storeBypassDisabled,
    boolean returnAlternateDisabled,
    boolean branchHistoryApart,
    boolean loadFenceSerializes,
    boolean nonBranchPredictionDisabled,
    boolean transactionsDisabled) {}
