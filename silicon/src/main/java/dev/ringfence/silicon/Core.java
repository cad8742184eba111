package dev.ringfence.silicon;

import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.buffer.StoreBuffer;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.cache.SharedCache;
import dev.ringfence.silicon.cache.TranslationTimes;
import dev.ringfence.silicon.execute.TransientLoads;
import dev.ringfence.silicon.model.SiliconModel;
import dev.ringfence.silicon.predict.BranchHistory;
import dev.ringfence.silicon.predict.DirectionPredictor;
import dev.ringfence.silicon.predict.DisambiguationPredictor;
import dev.ringfence.silicon.predict.ReturnStack;
import dev.ringfence.silicon.predict.TargetPredictor;
import org.jspecify.annotations.Nullable;

/**
 * One physical core: the structures that its logical processors share, and those that each has for
 * itself. They are state only; the executors of its logical processors drive them.
 */
public final class Core {
  private static final SpeculationControl UNRESTRICTED =
      new SpeculationControl(false, false, false, false, false, true, false, false);

  private final SiliconModel model;
  private final int threads;
  private final SharedCache sharedCache;
  private final CoreCaches caches;
  private final TranslationTimes dataTranslations;
  private final TranslationTimes codeTranslations;
  private final FillBuffers fillBuffers;
  private final StoreBuffer storeBuffer;
  private final LoadPorts loadPorts;
  private final DirectionPredictor directions;
  private final TargetPredictor targets;
  private final DisambiguationPredictor disambiguation;
  private final BranchHistory[] histories;
  private final ReturnStack[] returnStacks;
  private @Nullable TransientLoads transientLoads;
  private final SpeculationControl[] controls;
  private final int[] owed;

  /**
   * @param threads logical processors, 1 or 2
   */
  Core(SiliconModel model, int threads, SharedCache sharedCache, PhysicalMemory memory) {
    this.model = model;
    this.threads = threads;
    this.sharedCache = sharedCache;
    fillBuffers = new FillBuffers(model.buffers().fillBuffers(), memory);
    caches = new CoreCaches(model.caches(), sharedCache, fillBuffers);
    dataTranslations = new TranslationTimes(model.translation());
    codeTranslations = new TranslationTimes(model.translation());
    storeBuffer = new StoreBuffer(model.buffers().storeBuffer(), threads);
    loadPorts = new LoadPorts(model.buffers().loadPorts());
    directions = new DirectionPredictor(model.predictors().directionEntries());
    targets = new TargetPredictor(model.predictors(), threads);
    disambiguation = new DisambiguationPredictor();
    histories = new BranchHistory[threads];
    returnStacks = new ReturnStack[threads];
    controls = new SpeculationControl[threads];
    owed = new int[threads];
    for (int thread = 0; thread < threads; thread++) {
      controls[thread] = UNRESTRICTED;
      histories[thread] = DirectionPredictor.history(model.predictors().historyLength());
      returnStacks[thread] = new ReturnStack(model.predictors().returnStack());
    }
  }

  public SiliconModel model() {
    return model;
  }

  /** Told of each load on a wrong path, or null. */
  public @Nullable TransientLoads transientLoads() {
    return transientLoads;
  }

  /** Sets who is told of each load on a wrong path; null for nobody. */
  public void setTransientLoads(@Nullable TransientLoads observer) {
    transientLoads = observer;
  }

  /** Number of its logical processors. */
  public int threads() {
    return threads;
  }

  /** The cache that it shares with the other cores. */
  public SharedCache sharedCache() {
    return sharedCache;
  }

  public CoreCaches caches() {
    return caches;
  }

  /** Times of translations of data addresses. */
  public TranslationTimes dataTranslations() {
    return dataTranslations;
  }

  /** Times of translations of addresses of instructions. */
  public TranslationTimes codeTranslations() {
    return codeTranslations;
  }

  /**
   * Forgets the translations of a page, in an address space and global ones.
   *
   * @param space number of the address space
   * @param global number under which global ones are kept
   */
  public void forgetTranslation(long linear, int space, int global) {
    dataTranslations.forget(linear, space);
    codeTranslations.forget(linear, space);
    dataTranslations.forget(linear, global);
  }

  /** Forgets all translations. */
  public void forgetTranslations() {
    dataTranslations.clear();
    codeTranslations.clear();
  }

  public FillBuffers fillBuffers() {
    return fillBuffers;
  }

  public StoreBuffer storeBuffer() {
    return storeBuffer;
  }

  public LoadPorts loadPorts() {
    return loadPorts;
  }

  public DirectionPredictor directions() {
    return directions;
  }

  public TargetPredictor targets() {
    return targets;
  }

  public DisambiguationPredictor disambiguation() {
    return disambiguation;
  }

  /** The history of branches of a logical processor. */
  public BranchHistory history(int thread) {
    return histories[thread];
  }

  /** The return stack of a logical processor. */
  public ReturnStack returnStack(int thread) {
    return returnStacks[thread];
  }

  /** What software has restricted on a logical processor. */
  public SpeculationControl control(int thread) {
    return controls[thread];
  }

  /** Sets what software has restricted on a logical processor. */
  public void setControl(int thread, SpeculationControl control) {
    controls[thread] = control;
    targets.control(thread, control.indirectBranchRestricted(), control.siblingPredictorsApart());
  }

  /**
   * Adds the cycles of an operation on the silicon, which the executor of a logical processor takes
   * into account when it next looks.
   */
  void owe(int thread, int cycles) {
    owed[thread] += cycles;
  }

  /** Takes the cycles that {@link #owe} has added. */
  public int takeOwed(int thread) {
    int cycles = owed[thread];
    owed[thread] = 0;
    return cycles;
  }
}
