package dev.ringfence.bench;

import dev.ringfence.machine.interpret.RegionReader;
import dev.ringfence.machine.translate.Execution;
import dev.ringfence.machine.translate.Region;
import dev.ringfence.machine.translate.RegionBlock;
import dev.ringfence.machine.translate.TranslatedCode;
import dev.ringfence.machine.translate.Translator;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
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
 * Nanoseconds per guest instruction of what happens once for hot code, before the JVM's own
 * compilers see it: a region of 44 instructions in eleven blocks, as compilers emit them.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 5, time = 5)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class TranslationBenchmark {
  private static final int INSTRUCTIONS = 44;
  private static final int BATCH = 32;

  /**
   * A checksum in two loops, with early exits: loads, stores, shifts, compares, calls and
   * conditional jumps.
   */
  private static final String CODE =
      "55 4889e5 4883ec10 31c0 4885ff 741a" // push, mov, sub, xor, test, jz
          + "0fb60f 01c8 48c1e003 4831d8 4889442408" // movzx, add, shl, xor, mov
          + "4883c701 4839f7 72e6" // add, cmp, jb back
          + "488b542408 4801d0 4885d2 7804 48ffc8 90" // mov, add, test, js, dec, nop
          + "8b4e10 4139c8 7702 ffc1 894e14" // mov, cmp, ja, inc, mov
          + "e806000000 4883c410 5d c3" // call, add, pop, ret
          + "0fafc8 85c9 7502 29c8 c1e905 01c8 c3"; // imul, test, jnz, sub, shr, add, ret

  private static final long AT = 0x1000;

  private BenchProcessor bare;
  private Translator translator;
  private Region region;

  @Setup
  public void read() {
    bare = new BenchProcessor();
    byte[] code = HexFormat.of().parseHex(CODE.replace(" ", ""));
    bare.memory.write(AT, code, 0, code.length);
    translator = new Translator(bare.processor, new Execution(bare.processor));
    region = decodeAndLift();
    int instructions = region.blocks().stream().mapToInt(RegionBlock::instructions).sum();
    if (instructions != INSTRUCTIONS) {
      throw new IllegalStateException(
          "%d instructions in %d blocks".formatted(instructions, region.blocks().size()));
    }
  }

  @TearDown
  public void close() {
    bare.close();
  }

  /** Bytes to micro-operations, and the choice of the region. */
  @Benchmark
  @OperationsPerInvocation(INSTRUCTIONS)
  public Region decodeAndLift() {
    return RegionReader.read(bare.memory, bare.processor.model(), AT, 64, 64, -1);
  }

  /** Micro-operations to bytecode and a class with one region. */
  @Benchmark
  @OperationsPerInvocation(INSTRUCTIONS)
  public TranslatedCode classOfOneRegion() throws Translator.TooLargeException {
    return translator.translate(List.of(region));
  }

  /** The same with as many regions as share a class when many are hot. */
  @Benchmark
  @OperationsPerInvocation(INSTRUCTIONS * BATCH)
  public TranslatedCode classOfManyRegions() throws Translator.TooLargeException {
    return translator.translate(Collections.nCopies(BATCH, region));
  }
}
