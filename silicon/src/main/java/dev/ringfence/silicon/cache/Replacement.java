package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.model.ReplacementPolicy;

/**
 * Which way of a set gives its place to a new line.
 *
 * <p>The state of a set is one long, so that a cache keeps the states of all its sets in a flat
 * array; the methods here take a state and give the next one. A set with an empty way fills it and
 * replaces nothing, which is the cache's business.
 */
final class Replacement {
  private static final long ORDER = 0xfedc_ba98_7654_3210L;

  /** Ones in the low bits of digits of four bits. */
  private static final long DIGITS = 0x1111_1111_1111_1111L;

  private static final int TREE_WAYS = 4;
  private static final int TREES = 3;

  /** Ages of two bits, all ones in their low bits. */
  private static final long LOW_BITS = 0x5555_5555_5555_5555L;

  private static final int OLDEST = 3;
  private static final int AGE_OF_NEW = 1;

  private final ReplacementPolicy policy;
  private final int ways;
  private final boolean idempotent;

  /** By way of a tree: the bits of the nodes on its path, and their values that point elsewhere. */
  private final long[] path;

  private final long[] away;

  /**
   * @throws IllegalArgumentException if the policy cannot have that many ways
   */
  Replacement(ReplacementPolicy policy, int ways) {
    if (!policy.canChooseAmong(ways)) {
      throw new IllegalArgumentException(policy + " cannot choose among " + ways + " ways");
    }
    this.policy = policy;
    this.ways = ways;
    this.idempotent =
        switch (policy) {
          case LRU, PLRU, LRU3PLRU4 -> true;
          case QLRU_H00_M1_R0_U1, QLRU_H11_M1_R0_U0 -> false;
        };
    int leaves = policy == ReplacementPolicy.PLRU ? ways : TREE_WAYS;
    path = new long[leaves];
    away = new long[leaves];
    for (int way = 0; way < leaves; way++) {
      int node = 1;
      for (int half = leaves / 2; half > 0; half /= 2) {
        boolean right = (way & half) != 0;
        path[way] |= 1L << node;
        away[way] |= right ? 0 : 1L << node;
        node = 2 * node + (right ? 1 : 0);
      }
    }
  }

  /** State of a set that nothing has used. */
  long initial() {
    return switch (policy) {
      case LRU -> ORDER;
      case LRU3PLRU4 -> (ORDER & 0xfff) << 4 * TREES;
      case PLRU -> 0;
      case QLRU_H00_M1_R0_U1, QLRU_H11_M1_R0_U0 -> ages(OLDEST);
    };
  }

  private long ages(int age) {
    return LOW_BITS * age & (ways == 32 ? -1 : (1L << 2 * ways) - 1);
  }

  /** Whether a hit on the way that was used or filled last changes nothing. */
  boolean idempotent() {
    return idempotent;
  }

  /** State after a hit. */
  long used(long state, int way) {
    return switch (policy) {
      case LRU -> toFront(state, way);
      case PLRU -> state & ~path[way] | away[way];
      case LRU3PLRU4 -> usedInTrees(state, way);
      case QLRU_H00_M1_R0_U1 -> grown(withAge(state, way, 0), way);
      case QLRU_H11_M1_R0_U0 -> grown(withAge(state, way, age(state, way) >> 1), -1);
    };
  }

  /** State after a new line came into the way, empty before or not. */
  long filled(long state, int way) {
    return switch (policy) {
      case LRU, PLRU, LRU3PLRU4 -> used(state, way);
      case QLRU_H00_M1_R0_U1 -> grown(withAge(state, way, AGE_OF_NEW), way);
      case QLRU_H11_M1_R0_U0 -> grown(withAge(state, way, AGE_OF_NEW), -1);
    };
  }

  /** The way that a new line takes in a full set. */
  int victim(long state) {
    return switch (policy) {
      case LRU -> (int) (state >>> 4 * (ways - 1)) & 0xf;
      case PLRU -> leaf(state, ways);
      case LRU3PLRU4 -> {
        int tree = (int) (state >>> 4 * (2 * TREES - 1)) & 0xf;
        yield tree * TREE_WAYS + leaf(state >>> 4 * tree & 0xf, TREE_WAYS);
      }
      case QLRU_H00_M1_R0_U1, QLRU_H11_M1_R0_U0 -> leftmostOldest(state);
    };
  }

  /** Moves a value to the front of a list of different values of four bits. */
  private static long toFront(long list, int value) {
    // The lowest digit of the difference that is zero: only a borrow from below makes others look
    // so.
    long difference = list ^ DIGITS * value;
    long zero = difference - DIGITS & ~difference & DIGITS << 3;
    int at = Long.numberOfTrailingZeros(zero) & ~3;
    long before = list & (1L << at) - 1;
    long behind = at == 60 ? 0 : list >>> at + 4 << at + 4;
    return behind | before << 4 | value;
  }

  /** The low 12 bits are the trees, four bits each; above is the list of trees, last used first. */
  private long usedInTrees(long state, int way) {
    int tree = way / TREE_WAYS;
    int leaf = way % TREE_WAYS;
    long trees = state & ~(path[leaf] << 4 * tree) | away[leaf] << 4 * tree;
    return toFront(state >>> 4 * TREES, tree) << 4 * TREES | trees & (1L << 4 * TREES) - 1;
  }

  private static int leaf(long tree, int leaves) {
    int node = 1;
    while (node < leaves) {
      node = 2 * node + (int) (tree >>> node & 1);
    }
    return node - leaves;
  }

  private static int age(long state, int way) {
    return (int) (state >>> 2 * way) & 3;
  }

  private static long withAge(long state, int way, int age) {
    return state & ~(3L << 2 * way) | (long) age << 2 * way;
  }

  /**
   * Lets ages grow equally until there is one of the oldest, if there is none.
   *
   * @param except a way whose age does not count and does not grow, or -1
   */
  private long grown(long state, int except) {
    int oldest = 0;
    for (int way = 0; way < ways; way++) {
      if (way != except) {
        oldest = Math.max(oldest, age(state, way));
      }
    }
    long growth = ages(OLDEST - oldest);
    return state + (except < 0 ? growth : growth & ~(3L << 2 * except));
  }

  private int leftmostOldest(long state) {
    long oldest = state & state >>> 1 & LOW_BITS & ages(1);
    // Ages grow after each access, but a hit on the only way of age 3 may leave none.
    return oldest == 0 ? leftmostOldest(grown(state, -1)) : Long.numberOfTrailingZeros(oldest) / 2;
  }
}
