package dev.ringfence.bench;

import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.MonitorMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.PageWalker;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds of the host for one operation on the restricted tables of one policy. They hold as
 * many pages as a run of a shipped workload leaves in them, spread over all of RAM as the pages of
 * slab caches are, and each process has a page of its own.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class RestrictedTablesBenchmark {
  private static final long DIRECT_MAP = 0xffff_8880_0000_0000L;
  private static final long OWN_STACKS = 0xffff_c900_0000_0000L;
  private static final long ENTRY =
      RestrictedTables.PRESENT
          | RestrictedTables.WRITABLE
          | RestrictedTables.ACCESSED_DIRTY
          | RestrictedTables.NO_EXECUTE;
  private static final int PAGES = 1024;

  /** Every so many pages one is mapped: 1,024 of them in 128 MiB. */
  private static final int STRIDE = 32;

  private static final int PHYSICAL_BITS = 46;

  /** Processes that have restricted tables. A removal goes through those of all. */
  @Param({"1", "16", "64"})
  public int processes;

  private final PhysicalMemory guest = new PhysicalMemory(64 << 20);
  private final MonitorMemory memory = new MonitorMemory(guest, 1L << 45, 64 << 20);
  private final RestrictedTables tables = new RestrictedTables(memory);
  private final ProcessorState state = new ProcessorState();
  private final PageWalker walker = new PageWalker(memory, PHYSICAL_BITS);
  private final List<Long> roots = new ArrayList<>();
  private int next;

  @Setup
  public void fill() {
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_WP;
    state.cr4 = ControlBits.CR4_PAE;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
    for (int i = 0; i < processes; i++) {
      roots.add(tables.createRoot());
    }
    for (int i = 0; i < PAGES; i++) {
      tables.mapGlobal(page(i), frame(i));
    }
    for (int i = 0; i < processes; i++) {
      tables.mapLocal(roots.get(i), OWN_STACKS + 4096L * i, frame(i));
      for (int k = 0; k < PAGES; k++) {
        tables.synchronize(roots.get(i), page(k));
      }
    }
  }

  @TearDown
  public void close() {
    memory.close();
    guest.close();
  }

  private static long page(int i) {
    return DIRECT_MAP + 4096L * STRIDE * i;
  }

  private static long frame(int i) {
    return 4096L * STRIDE * i | ENTRY;
  }

  /** Another page and process each time. */
  private int advance() {
    next = next + 7 & PAGES - 1;
    return next;
  }

  private long root() {
    return roots.get(next % processes);
  }

  /** Looks up the leaf of a page that is mapped, as the audit does for held translations. */
  @Benchmark
  public long lookup() {
    return tables.entry(root(), page(advance()));
  }

  /** Walks to a page that is mapped with the rights of an access, as the gate does. */
  @Benchmark
  public boolean walk() {
    return walker.walk(state, root(), page(advance()), PageWalker.WRITE, false, false);
  }

  /** Maps a page for all processes on demand, as at its first touch, and takes it out again. */
  @Benchmark
  public boolean mapAndUnmap() {
    int i = advance();
    long page = page(i) + 4096;
    tables.mapGlobal(page, frame(i) + 4096);
    tables.synchronize(root(), page);
    return tables.unmap(page);
  }

  /** The same for a page that only one process may reach, beside its stack. */
  @Benchmark
  public boolean mapOwnAndUnmap() {
    int i = advance();
    long page = OWN_STACKS + 4096L * (256 + i % 128);
    tables.mapLocal(root(), page, frame(i));
    return tables.unmap(page);
  }

  /** Visits every leaf of one process's tables, as the audit does at each enter: 1,025 of them. */
  @Benchmark
  public long visitAll() {
    advance();
    long[] sum = {0};
    tables.forEach(root(), (linear, entry) -> sum[0] += linear ^ entry);
    return sum[0];
  }
}
