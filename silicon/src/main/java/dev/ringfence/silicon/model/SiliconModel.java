package dev.ringfence.silicon.model;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.cpu.CpuModel;

/**
 * What architecture hides of one model of processor: sizes, latencies, and which of the published
 * mechanisms of leaking it has. It is the section {@code silicon} of the CPU model's file, where
 * each value has its source. Latencies are cycles of the core at its nominal frequency, which is
 * that of the time-stamp counter.
 *
 * @param name the CPU model's name
 * @param vendor the vendor's 12 characters in CPUID
 */
public record SiliconModel(
    String name,
    String vendor,
    Caches caches,
    Translation translation,
    Buffers buffers,
    Pipeline pipeline,
    Predictors predictors,
    Forwarding forwarding) {

  /**
   * Loads the silicon of a CPU model.
   *
   * @param nameOrPath as {@link CpuModel#load} takes it
   * @throws BadInputException if there is no such model, or its file does not say what architecture
   *     hides, or says something impossible
   */
  public static SiliconModel load(String nameOrPath) {
    return of(CpuModel.load(nameOrPath));
  }

  /**
   * The silicon of a CPU model.
   *
   * @throws BadInputException if its file does not say what architecture hides, or says something
   *     impossible
   */
  public static SiliconModel of(CpuModel model) {
    return SiliconModelReader.read(model);
  }
}
