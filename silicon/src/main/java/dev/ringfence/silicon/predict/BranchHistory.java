package dev.ringfence.silicon.predict;

import java.util.Arrays;

/**
 * The path history register of a logical processor: what the last taken branches were, hashed. Each
 * one shifts it left by two bits and mixes in a footprint of low bits of its own address and of its
 * target. Conditional branches that are not taken leave it as it is.
 *
 * <p>The footprint is that of Intel processors, found by Horn ("Reading privileged memory with a
 * side-channel", 2018, for Haswell) and, for longer registers, by Yavarzadeh et al.
 * ("Half&amp;Half", 2023). Nothing in it names a mode or address space, so what user code did is
 * still there after a system call (Barberis et al., "Branch History Injection", 2022).
 *
 * <p>Predictors see it folded to 16 bits over their own length; a fold is kept up to date at each
 * branch instead of computed at each prediction.
 */
public final class BranchHistory {
  private static final int BITS_OF_BRANCH = 2;
  private static final int FOLD_BITS = 16;

  /** A branch changes as many bits as eight branches shift. */
  private static final int FOOTPRINT_BRANCHES = 8;

  private static final int FOLD_MASK = (1 << FOLD_BITS) - 1;

  private final int branches;
  private final long[] bits;
  private final long topMask;

  /** By fold: branches that it covers, and its value. */
  private final int[] lengths;

  private final int[] folds;

  /**
   * @param branches taken branches that the register remembers: 29 on Haswell, 93 on Skylake
   * @param shorter lengths of folds besides that of the whole register, in branches, at least 8
   */
  public BranchHistory(int branches, int... shorter) {
    this.branches = branches;
    this.lengths = Arrays.copyOf(shorter, shorter.length + 1);
    this.lengths[shorter.length] = branches;
    this.folds = new int[lengths.length];
    for (int length : lengths) {
      if (length < FOOTPRINT_BRANCHES || length > branches) {
        throw new IllegalArgumentException(
            "expected lengths of %d to %d branches, got %d"
                .formatted(FOOTPRINT_BRANCHES, branches, length));
      }
    }
    int used = branches * BITS_OF_BRANCH;
    this.bits = new long[(used + 63) / 64];
    this.topMask = -1L >>> (64 * bits.length - used);
  }

  /** A branch at {@code branch}, the address of its last byte, was taken to {@code target}. */
  public void taken(long branch, long target) {
    int footprint = footprint(branch, target);
    for (int i = 0; i < folds.length; i++) {
      int end = lengths[i] * BITS_OF_BRANCH;
      int leaving = bitsAt(end - BITS_OF_BRANCH) << end % FOLD_BITS;
      int rotated = folds[i] << BITS_OF_BRANCH | folds[i] >>> FOLD_BITS - BITS_OF_BRANCH;
      folds[i] = (rotated ^ leaving ^ footprint) & FOLD_MASK;
    }
    for (int i = bits.length - 1; i > 0; i--) {
      bits[i] = bits[i] << BITS_OF_BRANCH | bits[i - 1] >>> 64 - BITS_OF_BRANCH;
    }
    bits[0] = bits[0] << BITS_OF_BRANCH ^ footprint;
    bits[bits.length - 1] &= topMask;
  }

  private int bitsAt(int position) {
    return (int) (bits[position >> 6] >>> position) & 3;
  }

  private static int footprint(long branch, long target) {
    int from = (int) branch;
    return (int) target & 0x3f
        ^ (from & 0xc0) >> 6
        ^ (from & 0xc00) >> 8
        ^ (from & 0xc000) >> 10
        ^ (from & 0x30) << 2
        ^ from & 0x300
        ^ (from & 0x3000) >> 2
        ^ (from & 0x30000) >> 4
        ^ (from & 0xc0000) >> 4;
  }

  /** 16 bits that the youngest branches of a fold decide, as many as were given for it. */
  public int fold(int index) {
    return folds[index];
  }

  /** 16 bits that all branches decide which the register remembers. */
  public int whole() {
    return folds[folds.length - 1];
  }

  /** The whole register, low bits youngest, 64 bits an element. */
  public long[] bits() {
    return bits.clone();
  }

  /** Taken branches that the register remembers. */
  public int branches() {
    return branches;
  }

  /** Becomes equal to a register of the same size: what a processor does after a misprediction. */
  public void copyFrom(BranchHistory other) {
    System.arraycopy(other.bits, 0, bits, 0, bits.length);
    System.arraycopy(other.folds, 0, folds, 0, folds.length);
  }

  /** Forgets all branches. */
  public void clear() {
    Arrays.fill(bits, 0);
    Arrays.fill(folds, 0);
  }
}
