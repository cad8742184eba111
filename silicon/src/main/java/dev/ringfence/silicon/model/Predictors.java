package dev.ringfence.silicon.model;

/**
 * The branch predictors of a core.
 *
 * @param directionEntries entries of each table of directions, a power of two
 * @param historyLength taken branches that the history register remembers
 * @param targetEntries entries of the branch target buffer
 * @param targetWays entries of a set of it
 * @param targetAddressBits low bits of a branch's address that tell entries apart
 * @param targetUsesHistory whether indirect branches are predicted by history, too
 * @param historyCrossesModes whether the history goes on when the mode changes
 * @param returnStack entries of the return stack buffer
 * @param returnUnderflow what predicts when that is empty
 * @param returnsFromTargetPredictor whether returns are predicted by the branch target buffer
 * @param predictsNonBranches whether fetch follows an entry before decoding what is at its address
 * @param phantomCalls whether such an entry of a call pushes a return address
 * @param modeIsolation what IBRS isolates
 * @param indirectTargetSelection whose branches of the upper half of a line predict indirect ones
 *     of the lower half
 */
public record Predictors(
    int directionEntries,
    int historyLength,
    int targetEntries,
    int targetWays,
    int targetAddressBits,
    boolean targetUsesHistory,
    boolean historyCrossesModes,
    int returnStack,
    ReturnUnderflow returnUnderflow,
    boolean returnsFromTargetPredictor,
    boolean predictsNonBranches,
    PhantomCalls phantomCalls,
    ModeIsolation modeIsolation,
    IndirectTargetSelection indirectTargetSelection) {}
