package dev.ringfence.linux.symbol;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The symbols of a kernel image, by name and by address.
 *
 * <p>Per-CPU variables: up to Linux 6.14 their symbols are offsets into the per-CPU area, small
 * absolute numbers that do not move with the kernel; since 6.15 they are addresses in the image
 * (Linux, scripts/kallsyms.c, absolute_percpu). In both cases the variable of CPU n is at the
 * symbol's address plus {@code __per_cpu_offset[n]}.
 */
public final class SymbolTable {
  private static final int NEAREST = 3;

  /** By unsigned address; symbols of one address in the order of kallsyms. */
  private final List<Symbol> symbols;

  private final Map<String, Integer> byName;
  private final long start;
  private final long end;

  /** The different addresses from {@link #start} on, rising. */
  private final long[] starts;

  /** For each of {@link #starts}, the first symbol that has it. */
  private final int[] firsts;

  /** What {@link #relocated} has given, by distance. */
  private final Map<Long, SymbolTable> relocated = new ConcurrentHashMap<>();

  private SymbolTable(List<Symbol> symbols, Map<String, Integer> byName, long start, long end) {
    this.symbols = symbols;
    this.byName = byName;
    this.start = start;
    this.end = end;
    long[] addresses = new long[symbols.size()];
    int[] indexes = new int[symbols.size()];
    int count = 0;
    for (int i = 0; i < symbols.size(); i++) {
      long address = symbols.get(i).address();
      if (Long.compareUnsigned(address, start) >= 0
          && (count == 0 || addresses[count - 1] != address)) {
        addresses[count] = address;
        indexes[count++] = i;
      }
    }
    starts = Arrays.copyOf(addresses, count);
    firsts = Arrays.copyOf(indexes, count);
  }

  /**
   * A table of these symbols.
   *
   * @param symbols in any order; of those with one address the first is the one that {@link #at}
   *     gives
   * @param start first address of the kernel image; symbols below it are absolute
   * @param end first address behind the image
   */
  public static SymbolTable of(List<Symbol> symbols, long start, long end) {
    List<Symbol> sorted = new ArrayList<>(symbols);
    sorted.sort(Comparator.comparing(Symbol::address, Long::compareUnsigned));
    Map<String, Integer> byName = HashMap.newHashMap(sorted.size());
    for (int i = 0; i < sorted.size(); i++) {
      Symbol symbol = sorted.get(i);
      Integer other = byName.putIfAbsent(symbol.name(), i);
      if (other != null && symbol.isGlobal() && !sorted.get(other).isGlobal()) {
        byName.put(symbol.name(), i);
      }
    }
    return new SymbolTable(List.copyOf(sorted), Map.copyOf(byName), start, end);
  }

  /**
   * The address of a symbol. Of several with this name: the global one, else that with the lowest
   * address.
   */
  public OptionalLong address(String name) {
    Symbol symbol = find(name);
    return symbol == null ? OptionalLong.empty() : OptionalLong.of(symbol.address());
  }

  /**
   * The address of a symbol that the kernel must have.
   *
   * @throws BadInputException naming the symbol and the nearest names if there is none
   */
  public long require(String name) {
    Symbol symbol = find(name);
    if (symbol == null) {
      throw new BadInputException(
          "kernel symbols: expected %s, found none of %d with that name%s"
              .formatted(name, symbols.size(), NearestNames.hint(name, byName.keySet())));
    }
    return symbol.address();
  }

  /** The symbol of this name, as {@link #address} chooses it. */
  public @Nullable Symbol find(String name) {
    Integer index = byName.get(name);
    return index == null ? null : symbols.get(index);
  }

  /**
   * The symbol that contains an address: the last one that begins at or before it.
   *
   * @return null for addresses outside the kernel image
   */
  public @Nullable Symbol at(long address) {
    if (Long.compareUnsigned(address, start) < 0 || Long.compareUnsigned(address, end) >= 0) {
      return null;
    }
    int low = 0;
    int high = starts.length;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (Long.compareUnsigned(starts[middle], address) <= 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low == 0 ? null : symbols.get(firsts[low - 1]);
  }

  /** For people: {@code do_syscall_64+0x38}; the bare number if no symbol contains it. */
  public String describe(long address) {
    Symbol symbol = at(address);
    if (symbol == null) {
      return "0x%x".formatted(address);
    }
    long offset = address - symbol.address();
    return offset == 0 ? symbol.name() : "%s+0x%x".formatted(symbol.name(), offset);
  }

  /** Names that a misspelt one may have meant, nearest first. */
  public List<String> nearest(String name, int count) {
    return NearestNames.of(name, byName.keySet(), count);
  }

  /** The three nearest names. */
  public List<String> nearest(String name) {
    return nearest(name, NEAREST);
  }

  /** Whether the symbol is a number that does not move with the kernel. */
  public boolean isAbsolute(Symbol symbol) {
    return Long.compareUnsigned(symbol.address(), start) < 0;
  }

  /**
   * Whether the symbol is a per-CPU variable, whose address on CPU n is the symbol's plus {@code
   * __per_cpu_offset[n]}.
   */
  public boolean isPerCpu(Symbol symbol) {
    Symbol first = find("__per_cpu_start");
    Symbol last = find("__per_cpu_end");
    if (first == null || last == null) {
      return isAbsolute(symbol);
    }
    return Long.compareUnsigned(symbol.address(), first.address()) >= 0
        && Long.compareUnsigned(symbol.address(), last.address()) < 0;
  }

  /**
   * The table of a kernel that runs elsewhere than where it was linked (KASLR). Absolute symbols
   * stay. The same table for the same distance: guests that go on from one boot share it.
   *
   * @param delta running address less link address, in bytes
   */
  public SymbolTable relocated(long delta) {
    return delta == 0 ? this : relocated.computeIfAbsent(delta, this::move);
  }

  private SymbolTable move(long delta) {
    List<Symbol> moved = new ArrayList<>(symbols.size());
    for (Symbol symbol : symbols) {
      moved.add(
          isAbsolute(symbol)
              ? symbol
              : new Symbol(symbol.name(), symbol.address() + delta, symbol.type()));
    }
    return new SymbolTable(List.copyOf(moved), byName, start + delta, end + delta);
  }

  /** First address of the kernel image. */
  public long start() {
    return start;
  }

  /** First address behind the kernel image. */
  public long end() {
    return end;
  }

  /** All symbols, by unsigned address. */
  public List<Symbol> all() {
    return symbols;
  }
}
