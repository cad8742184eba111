package dev.ringfence.silicon;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Microarchitecture;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.silicon.cache.SharedCache;
import dev.ringfence.silicon.execute.DetailedExecutor;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A model of silicon for a machine. While it is attached, the machine's processors execute in
 * detail: the same architectural results, with the time that they take and the traces that they
 * leave in caches, buffers and predictors, those of wrong paths too. It can be attached and
 * detached between any two runs of the machine; its structures are empty when it is attached.
 */
public final class Silicon {
  private final SiliconModel model;
  private final TimeBase timeBase;
  private final List<Core> cores = new ArrayList<>();
  private final List<DetailedExecutor> executors = new ArrayList<>();
  private @Nullable Machine machine;

  public Silicon(SiliconModel model, TimeBase timeBase) {
    this.model = model;
    this.timeBase = timeBase;
  }

  public SiliconModel model() {
    return model;
  }

  public TimeBase timeBase() {
    return timeBase;
  }

  /** The cores of the machine that this is attached to. */
  public List<Core> cores() {
    return List.copyOf(cores);
  }

  /** What executed, by processor. */
  public List<DetailedExecutor> executors() {
    return List.copyOf(executors);
  }

  /**
   * Attaches it to a machine that is not running, whose processors are one core each.
   *
   * @throws IllegalStateException if it is attached already
   */
  public void attach(Machine target) {
    if (machine != null) {
      throw new IllegalStateException("this silicon is attached to a machine already");
    }
    machine = target;
    SharedCache shared = new SharedCache(model.caches());
    target.memory().setCopyListener(shared::overwritten);
    cores.clear();
    executors.clear();
    for (Processor processor : target.processors()) {
      Core core = new Core(model, 1, shared, target.memory());
      cores.add(core);
      processor.setMicroarchitecture(new CoreControls(core, 0, processor));
    }
    target.setExecutor((processor, blocks) -> {
      DetailedExecutor executor =
          new DetailedExecutor(processor, blocks, cores.get(processor.index()), 0, timeBase);
      executors.add(executor);
      return executor;
    });
  }

  /** Gives the machine its own executors back. It must not be running. */
  public void detach() {
    Machine target = machine;
    if (target == null) {
      throw new IllegalStateException("this silicon is not attached to a machine");
    }
    machine = null;
    executors.forEach(DetailedExecutor::close);
    target.processors().forEach(p -> p.setMicroarchitecture(Microarchitecture.NONE));
    target.memory().setCopyListener(PhysicalMemory.CopyListener.NONE);
    target.setExecutor(null);
  }
}
