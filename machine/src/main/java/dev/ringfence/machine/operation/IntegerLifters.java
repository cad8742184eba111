package dev.ringfence.machine.operation;

import java.util.Map;

/** General-purpose instructions. */
final class IntegerLifters {
  private IntegerLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("NOP", (emitter, instruction) -> {});
  }
}
