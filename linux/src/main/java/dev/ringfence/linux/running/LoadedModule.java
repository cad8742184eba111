package dev.ringfence.linux.running;

import dev.ringfence.linux.symbol.SymbolTable;
import java.util.List;

/**
 * A module of the running kernel.
 *
 * @param address of its {@code struct module}
 * @param ranges where its code and data are, its init part included as long as that is there
 * @param symbols of its own symbol table
 */
public record LoadedModule(String name, long address, List<Range> ranges, SymbolTable symbols) {
  /** Linear addresses from start to end, end excluded. */
  public record Range(long start, long end) {
    /** Whether an address lies inside. */
    public boolean contains(long linear) {
      return Long.compareUnsigned(linear - start, end - start) < 0;
    }
  }

  public LoadedModule {
    ranges = List.copyOf(ranges);
  }

  /** Whether an address belongs to it. */
  public boolean contains(long linear) {
    for (Range range : ranges) {
      if (range.contains(linear)) {
        return true;
      }
    }
    return false;
  }
}
