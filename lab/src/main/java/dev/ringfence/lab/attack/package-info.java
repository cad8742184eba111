/**
 * Attacks on a kernel and who is judged to have leaked: the leak matrix.
 *
 * <p>{@link dev.ringfence.lab.attack.AttackCatalog} says which attacks there are, {@link
 * dev.ringfence.lab.attack.MitigationCatalog} what they are run against, and {@link
 * dev.ringfence.lab.attack.ExpectedMatrix} what publications say must come out; all three are data.
 * {@link dev.ringfence.lab.attack.AttackRun} boots a guest, plants a {@link
 * dev.ringfence.lab.attack.Secret} and starts an attack program, {@link
 * dev.ringfence.lab.attack.Judge} compares what it printed with what only the lab knows. The format
 * of the data and the protocol of the programs are described in docs/attacks.md.
 */
@org.jspecify.annotations.NullMarked
package dev.ringfence.lab.attack;
