package dev.ringfence.isolation.monitor;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Numbers for kernel stacks, so that an exit is counted by one of them. */
public final class StackTable {
  private static final class Key {
    long[] frames;
    int length;
    int hash;

    void set(long[] addresses, int count) {
      frames = addresses;
      length = count;
      int sum = count;
      for (int i = 0; i < count; i++) {
        sum = 31 * sum + Long.hashCode(addresses[i]);
      }
      hash = sum;
    }

    Key(long[] addresses, int count) {
      frames = addresses;
      length = count;
      set(addresses, count);
    }

    @Override
    public int hashCode() {
      return hash;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Key key
          && key.hash == hash
          && Arrays.equals(frames, 0, length, key.frames, 0, key.length);
    }
  }

  private final Map<Key, Integer> numbers = new HashMap<>();
  private final List<long[]> stacks = new ArrayList<>();
  private final Key probe = new Key(new long[0], 0);

  /** The number of a stack; the array may be reused afterwards. */
  int number(long[] addresses, int count) {
    probe.set(addresses, count);
    Integer known = numbers.get(probe);
    if (known == null) {
      long[] copy = Arrays.copyOf(addresses, count);
      known = stacks.size();
      stacks.add(copy);
      numbers.put(new Key(copy, count), known);
    }
    return known;
  }

  /** Addresses of code, most recent first. */
  public long[] frames(int number) {
    return stacks.get(number).clone();
  }
}
