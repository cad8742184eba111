package dev.ringfence.machine.operation;

import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.InstructionTable;
import java.util.HashMap;
import java.util.Map;

/** The lifter of each mnemonic. */
public final class Lifters {
  private static final Map<String, Lifter> ALL = new HashMap<>();

  static {
    IntegerLifters.register(ALL);
    VectorLifters.register(ALL);
    PackedLifters.register(ALL);
    StringCompareLifters.register(ALL);
    SseLifters.register(ALL);
    X87Lifters.register(ALL);
    ExtendedStateLifters.register(ALL);
    Bits.register(ALL);
    BranchLifters.register(ALL);
    StackLifters.register(ALL);
    Strings.register(ALL);
    SystemLifters.register(ALL);
    for (InstructionDefinition row : InstructionTable.standard().rows()) {
      if (!ALL.containsKey(row.mnemonic())) {
        throw new IllegalStateException(row.source() + ": no lifter for " + row.mnemonic());
      }
    }
  }

  private Lifters() {}

  /** The lifter of a mnemonic of the instruction table. */
  public static Lifter of(String mnemonic) {
    return ALL.get(mnemonic);
  }
}
