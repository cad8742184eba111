package dev.ringfence.bench;

import dev.ringfence.machine.cpu.ControlRegisters;
import dev.ringfence.machine.paging.TranslatedMemory;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds per 8-byte load, by where its translation is found, and per switch of the address
 * space with what the loads after it cost.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class TlbBenchmark {
  private static final int LOADS = 16;

  /** Pages from one to the next that has the same entry of the fast table. */
  private static final int FAST_ENTRIES = 4096;

  /** The same for the TLB behind it. */
  private static final int ENTRIES = 16384;

  private static final long KEEP = 1L << 63;

  private BenchProcessor bare;
  private TranslatedMemory memory;
  private long context;

  @Setup
  public void map() {
    bare = new BenchProcessor();
    memory = bare.processor.memory();
  }

  @TearDown
  public void close() {
    bare.close();
  }

  private long loads(int pagesBetween) {
    long sum = 0;
    for (int i = 0; i < LOADS; i++) {
      sum += memory.load64(BenchProcessor.page(1 + i % 4 * pagesBetween));
    }
    return sum;
  }

  /** The fast table has it. */
  @Benchmark
  @OperationsPerInvocation(LOADS)
  public long hit() {
    return loads(1);
  }

  /** Four pages displace each other from the fast table, but not from the TLB. */
  @Benchmark
  @OperationsPerInvocation(LOADS)
  public long refill() {
    return loads(FAST_ENTRIES);
  }

  /** Four pages displace each other from the TLB, too: four levels of page tables are read. */
  @Benchmark
  @OperationsPerInvocation(LOADS)
  public long walk() {
    return loads(ENTRIES);
  }

  /** Writes CR3 with another process context, without flushing; no loads. */
  @Benchmark
  public void contextSwitch() {
    switchTo(KEEP);
  }

  /** The same, then sixteen loads of four pages that each context has in the TLB. */
  @Benchmark
  public long contextSwitchAndLoads() {
    switchTo(KEEP);
    return loads(1);
  }

  /** The same with a write that flushes the context. */
  @Benchmark
  public long flushAndLoads() {
    switchTo(0);
    return loads(1);
  }

  private void switchTo(long bits) {
    context ^= 3;
    ControlRegisters.writeCr3(bare.processor, BenchProcessor.ROOT | context | bits);
    memory.contextChanged();
  }
}
