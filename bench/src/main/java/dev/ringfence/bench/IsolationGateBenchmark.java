package dev.ringfence.bench;

import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.cpu.Slot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds of the host for one system call of the guest in guest/isolation: about twenty
 * instructions, so that what the monitor adds is what is measured. Built with gcc and objcopy.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 5, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class IsolationGateBenchmark {
  private static final int CALLS = 500;
  private static final long MOST_INSTRUCTIONS = 1_000_000;

  /** Physical and user address of the script. */
  private static final long SCRIPT = 0x20_5000;

  private static final long USER_SCRIPT = 0x40_1000;
  private static final int EXIT_PORT = 0xf4;

  // Steps of the script; kernel.S lists them.
  private static final int BACK = 1;
  private static final int LOAD = 2;
  private static final int RELEASE = 6;

  private static final StopReason READY = new StopReason.DebugExit(3);
  private static final StopReason PAUSED = new StopReason.DebugExit(1);

  /** What system calls do. */
  public enum Call {
    /** Nothing: the kernel is entered and left. */
    RETURN {
      @Override
      long[] step(int number) {
        return new long[] {BACK, 0, 0};
      }
    },
    /** A load from a page that is mapped: relax and enter, and one access more. */
    MAPPED {
      @Override
      long[] step(int number) {
        return new long[] {LOAD, address(BareKernel.SLAB), 0};
      }
    },
    /** A load from a page that is left out: relax, exit by a fault, and enter. */
    EXIT {
      @Override
      long[] step(int number) {
        return new long[] {LOAD, address(BareKernel.PAGE_CACHE), 0};
      }
    },
    /** By turns a first touch, which maps the page, and its freeing: unmap and shootdown. */
    MAP_UNMAP {
      @Override
      long[] step(int number) {
        return number % 2 == 0
            ? new long[] {LOAD, address(BareKernel.SLAB), 0}
            : new long[] {RELEASE, BareKernel.SLAB, 1};
      }
    };

    /** Number, first and second argument of a step. */
    abstract long[] step(int number);

    private static long address(long frame) {
      return BareKernel.DIRECT_MAP + (frame << 12);
    }
  }

  @Param public Call call = Call.RETURN;

  /** A policy, or {@code off} for a machine without monitor. */
  @Param({"off", "google-2025"})
  public String policy = "off";

  private Machine machine;
  private @Nullable IsolationMonitor monitor;

  @Setup
  public void boot() throws IOException, InterruptedException {
    machine = new Machine(MachineConfiguration.of(64 << 20, 1).withTestDevices(EXIT_PORT));
    machine.load(BootImage.of(BootFile.of(build())), "", List.of());
    expect(READY);
    for (int i = 0; i < CALLS; i++) {
      long[] step = call.step(i);
      for (int k = 0; k < step.length; k++) {
        machine.memory().writeLong(SCRIPT + 32L * i + 8L * k, step[k]);
      }
    }
    // The step after the last is 0, which ends the turn.
    if (!policy.equals("off")) {
      monitor =
          new IsolationMonitor(
              machine, new BareKernel(machine), List.of(Policy.load(policy)), Set.of());
    }
  }

  private static Path build() throws IOException, InterruptedException {
    Path script = Path.of(System.getProperty("ringfence.root"), "guest", "isolation", "build.sh");
    Path folder = Files.createTempDirectory("ringfence-bench");
    int status =
        new ProcessBuilder(script.toString(), folder.toString()).inheritIO().start().waitFor();
    if (status != 0) {
      throw new IOException("status %d of %s".formatted(status, script));
    }
    Path image = folder.resolve("kernel");
    // What is named last is deleted first, and a folder must be empty.
    for (Path file : List.of(folder, folder.resolve("kernel64"), image)) {
      file.toFile().deleteOnExit();
    }
    return image;
  }

  private void expect(StopReason wanted) {
    StopReason reason =
        machine.run(RunLimits.untilInstruction(machine.instructions() + MOST_INSTRUCTIONS));
    if (!reason.equals(wanted)) {
      throw new IllegalStateException(machine.report("expected " + wanted));
    }
  }

  @TearDown
  public void close() {
    if (monitor != null) {
      monitor.close();
    }
    machine.close();
  }

  @Benchmark
  @OperationsPerInvocation(CALLS)
  public Machine systemCall() {
    machine.processors().getFirst().state().r[Slot.RBX] = USER_SCRIPT;
    expect(PAUSED);
    return machine;
  }
}
