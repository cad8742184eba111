package dev.ringfence.machine.operation;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.InstructionTable;
import org.junit.jupiter.api.Test;

/** The table and the lifters know the same instructions. */
class LiftersTest {
  @Test
  void everyRowOfTheTableHasALifter() {
    for (InstructionDefinition row : InstructionTable.standard().rows()) {
      assertNotNull(Lifters.of(row.mnemonic()), row.source());
    }
  }
}
