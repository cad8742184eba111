package dev.ringfence.bench;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.StoreBuffer;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.cache.SharedCache;
import dev.ringfence.silicon.cache.TranslationTimes;
import dev.ringfence.silicon.model.SiliconModel;
import dev.ringfence.silicon.predict.BranchHistory;
import dev.ringfence.silicon.predict.BranchKind;
import dev.ringfence.silicon.predict.DirectionPredictor;
import dev.ringfence.silicon.predict.PredictorMode;
import dev.ringfence.silicon.predict.TargetPredictor;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds of the host that one access or branch costs in the structures of a core of
 * skylake-server, without the executor that asks them.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class SiliconStructuresBenchmark {
  private static final long INSTRUCTION = 0x401000;
  private static final long BRANCH = 0x401234;
  private static final int MASK = 0xffff;

  private final PhysicalMemory memory = new PhysicalMemory(256 << 20);
  private final CoreCaches caches;
  private final TranslationTimes translations;
  private final StoreBuffer stores;
  private final DirectionPredictor directions;
  private final TargetPredictor targets;
  private final BranchHistory history;

  /** Addresses of RAM, and bits, that do not repeat soon. */
  private final long[] addresses = new long[MASK + 1];

  private final boolean[] taken = new boolean[MASK + 1];
  private int next;
  private long now;

  public SiliconStructuresBenchmark() {
    SiliconModel model = SiliconModel.load("skylake-server");
    FillBuffers fillBuffers = new FillBuffers(model.buffers().fillBuffers(), memory);
    caches = new CoreCaches(model.caches(), new SharedCache(model.caches()), fillBuffers);
    translations = new TranslationTimes(model.translation());
    stores = new StoreBuffer(model.buffers().storeBuffer(), 1);
    directions = new DirectionPredictor(model.predictors().directionEntries());
    targets = new TargetPredictor(model.predictors(), 1);
    history = DirectionPredictor.history(model.predictors().historyLength());
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    for (int i = 0; i <= MASK; i++) {
      addresses[i] = random.nextLong(256 << 20) & ~7;
      taken[i] = random.nextInt(8) != 0;
    }
  }

  @TearDown
  public void close() {
    memory.close();
  }

  private long address() {
    next = next + 1 & MASK;
    return addresses[next];
  }

  /** A load that hits the first level, in 16 KiB. */
  @Benchmark
  public int loadHit() {
    return caches.load(address() & 0x3ff8, INSTRUCTION, now += 4);
  }

  /** A load that misses all levels, mostly: 256 MiB at random. */
  @Benchmark
  public int loadMiss() {
    return caches.load(address(), INSTRUCTION, now += 300);
  }

  /** A load that the second level answers, mostly: 512 KiB at random. */
  @Benchmark
  public int loadSecondLevel() {
    return caches.load(address() & 0x7fff8, INSTRUCTION, now += 20);
  }

  /** A translation in the first level, in 32 pages. */
  @Benchmark
  public int translationHit() {
    return translations.translate(address() & 0x1ffff, 1);
  }

  /** A store, and a load of the same bytes that it forwards to. */
  @Benchmark
  public StoreBuffer.Outcome storeAndForward() {
    long address = address();
    now += 2;
    int entry = stores.allocate(0, address, address, 8, now);
    stores.data(entry, now, 0, now);
    stores.before(entry, 0, 0);
    stores.drain(0, entry, now + 40);
    return stores.compare(0, address, address, 8, now + 1);
  }

  /** A load that no store concerns, with twenty stores under way. */
  @Benchmark
  public StoreBuffer.Outcome storeAndUnrelatedLoad() {
    long address = address();
    now += 2;
    int entry = stores.allocate(0, address, address, 8, now);
    stores.drain(0, entry, now + 40);
    return stores.compare(0, address + 64, address + 64, 8, now + 1);
  }

  /** Prediction and update of a conditional branch of which one in eight goes the other way. */
  @Benchmark
  public boolean conditionalBranch() {
    next = next + 1 & MASK;
    boolean predicted = directions.predict(BRANCH, history);
    directions.update(BRANCH, history, taken[next]);
    if (taken[next]) {
      history.taken(BRANCH, BRANCH + 0x100);
    }
    return predicted;
  }

  /** Prediction and update of an indirect branch with four targets. */
  @Benchmark
  public long indirectBranch() {
    long target = address() & 0x18 | 0x402000;
    long predicted = targets.predict(BRANCH, 0, PredictorMode.USER, history);
    targets.update(BRANCH, target, BranchKind.INDIRECT_CALL, 0, PredictorMode.USER, history);
    history.taken(BRANCH, target);
    return predicted;
  }
}
