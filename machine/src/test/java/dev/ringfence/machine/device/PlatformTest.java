package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.snapshot.Stateful;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The board as a whole. */
final class PlatformTest {
  @Test
  void everyPartHasANameOfItsOwn() {
    try (Board board = new Board()) {
      Set<String> names = new HashSet<>();
      for (Stateful part : board.platform.parts()) {
        names.add(part.stateName());
      }
      assertEquals(board.platform.parts().size(), names.size());
    }
  }
}
