package dev.ringfence.bench;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.translate.TranslationMode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Nanoseconds per guest instruction in endless loops of a bare 64-bit guest, one loop for each cost
 * centre of an executor. There are no timers and no faults, so nothing but decoded code runs.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class GuestLoopBenchmark {
  private static final int INSTRUCTIONS = 2_000_000;

  /** The loops. */
  public enum Loop {
    /** Eight dependent register operations and a jump: the cost of dispatch and of flags. */
    ARITHMETIC("4801d8 4831c3 48ffc0 4829d8 4821c3 48c1e003 4809d8 4885c0 ebe5"),
    /** Eight loads of 8 bytes from one page and a jump: the TLB's fast path. */
    LOAD("488b06 488b4608 488b4e10 488b5618 488b5e20 488b4628 488b4e30 488b5638 ebdf"),
    /** Eight stores of 8 bytes to one page and a jump. */
    STORE("488906 48894608 48894e10 48895618 48895e20 48894628 48894e30 48895638 ebdf"),
    /**
     * Compare and a conditional jump that is taken every other time, in blocks of two instructions.
     */
    BRANCH("48ffc0 a801 7403 48ffc3 ebf4"),
    /** A call, a return and a jump: the stack, and blocks of one instruction. */
    CALL("e802000000 ebf9 c3"),
    /** The same with the function in another page: two ways from region to region. */
    FAR_CALL("e8fb0f0000 ebf9" + "00".repeat(0x1000 - 7) + "c3"),
    /**
     * Sixteen loads, each from another page and so another entry of the TLB, 64 KiB apart in turn.
     */
    PAGES("488b06 4881c600100000 4881e6ffff3f00 4881ce00002000 ebe6");

    private final String hex;

    Loop(String hex) {
      this.hex = hex;
    }

    byte[] code() {
      return HexFormat.of().parseHex(hex.replace(" ", ""));
    }
  }

  @Param public Loop loop = Loop.ARITHMETIC;

  /** FORCED would be ON after the warm-up. */
  @Param({"OFF", "ON"})
  public TranslationMode translation;

  private Machine machine;
  private long executed;

  @Setup
  public void boot() {
    machine = new Machine(MachineConfiguration.of(64 << 20, 1).withTranslation(translation));
    machine.load(BootImage.of(BootFile.of(loop.name(), elf(loop.code()))), "", List.of());
  }

  @TearDown
  public void close() {
    machine.close();
  }

  @Benchmark
  @OperationsPerInvocation(INSTRUCTIONS)
  public Object instruction() {
    executed += INSTRUCTIONS;
    return machine.run(RunLimits.untilInstruction(executed));
  }

  /**
   * A 64-bit executable with one segment at 1 MiB: RSI and RSP point to data at 2 MiB, then the
   * loop.
   */
  private static byte[] elf(byte[] loop) {
    byte[] start = HexFormat.of().parseHex("be00002000" + "bc00082000");
    int headers = 64 + 56;
    int size = headers + start.length + loop.length;
    long address = 0x10_0000;
    ByteBuffer file = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    file.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}).position(16);
    file.putShort((short) 2).putShort((short) 62).putInt(1);
    file.putLong(address + headers).putLong(64).putLong(0).putInt(0);
    file.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    file.position(64);
    file.putInt(1).putInt(7).putLong(0).putLong(address).putLong(address);
    file.putLong(size).putLong(0x20_0000).putLong(4096);
    file.put(start).put(loop);
    return file.array();
  }
}
