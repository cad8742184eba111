package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import java.time.Duration;
import java.util.HexFormat;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The native runner, with instructions whose meaning everyone knows. */
final class NativeProcessorTest {
  @BeforeEach
  void hostCanRun() {
    String missing = NativeProcessor.missing();
    assumeTrue(missing.isEmpty(), missing);
  }

  private static CaseRecord newCase(String code, int flags) {
    CaseRecord input = new CaseRecord();
    input.setFlags(flags);
    input.setCode(HexFormat.ofDelimiter(" ").parseHex(code));
    input.setRip(CaseRecord.CODE_BASE + 0x800);
    input.setRflags(Flags.ALWAYS_SET | Flags.IF);
    for (int i = 0; i < 16; i++) {
      input.setRegister(i, 0x0101010101010101L * i);
    }
    return input;
  }

  private static CaseRecord run(CaseRecord input) {
    try (NativeProcessor processor = NativeProcessor.start()) {
      CaseRecord output = new CaseRecord();
      processor.execute(input, output);
      return output;
    }
  }

  @Test
  void anInstructionCompletesWithItsResultAndFlags() {
    CaseRecord input = newCase("48 01 c8", 0); // add rax, rcx
    input.setRegister(0, -1);
    input.setRegister(1, 1);

    CaseRecord output = run(input);

    assertEquals(CaseRecord.COMPLETED, output.flags());
    assertEquals(0, output.register(0));
    assertEquals(Flags.CF | Flags.ZF | Flags.PF | Flags.AF, (int) output.rflags() & Flags.STATUS);
    assertEquals(input.rip() + 3, output.rip());
    assertEquals(input.register(15), output.register(15));
  }

  @Test
  void aFaultReportsVectorErrorCodeAndAddress() {
    CaseRecord input = newCase("48 89 08", 0); // mov [rax], rcx
    input.setRegister(0, CaseRecord.DATA_BASE + CaseRecord.DATA_SIZE);

    CaseRecord output = run(input);

    assertEquals(CaseRecord.EXCEPTION, output.flags());
    assertEquals(ProcessorException.PAGE_FAULT, output.vector());
    assertEquals(6, output.errorCode());
    assertEquals(CaseRecord.DATA_BASE + CaseRecord.DATA_SIZE, output.faultAddress());
    assertEquals(input.rip(), output.rip());
  }

  @Test
  void instructionsOf32BitCodeRunInCompatibilityMode() {
    CaseRecord input = newCase("37", CaseRecord.CODE32); // aaa
    input.setRegister(0, 0x0f);

    CaseRecord output = run(input);

    assertEquals(CaseRecord.COMPLETED, output.flags());
    assertEquals(0x105, output.register(0) & 0xffff);
  }

  @Test
  void anEndlessInstructionIsStopped() {
    assertEquals(CaseRecord.ENDLESS, run(newCase("eb fe", CaseRecord.BRANCH)).flags());
  }

  @Test
  void memoryAndVectorStateGoThereAndBack() {
    // movaps [rax], xmm1
    CaseRecord input = newCase("0f 29 08", CaseRecord.MEMORY | CaseRecord.FLOATING);
    input.setRegister(0, CaseRecord.MIDDLE + 16);
    input.setInt(CaseRecord.FX_MXCSR, 0x1f80);
    input.setLong(CaseRecord.FX_VECTORS + 16, 0x1122334455667788L);

    CaseRecord output = run(input);

    assertEquals(0x1122334455667788L, output.memory(CaseRecord.MIDDLE + 16, 8));
    assertEquals(0x1122334455667788L, output.getLong(CaseRecord.FX_VECTORS + 16));
  }

  @Test
  void twoRunnersAgreeOnEveryForm() {
    long seed = Long.getLong("ringfence.seed", 1);
    try (NativeProcessor second = NativeProcessor.start();
        InstructionFuzz fuzz =
            new InstructionFuzz(
                NativeProcessor.start(),
                (input, output) -> {
                  second.execute(input, output);
                  Comparison.normalize(input, output);
                })) {
      InstructionFuzz.Summary summary =
          fuzz.run(new InstructionFuzz.Options(seed, 5, "", 0, Duration.ZERO), (a, b, c, d) -> {});
      System.out.println(summary);
      assertTrue(summary.forms() > 0);
      assertEquals(java.util.List.of(), summary.failures());
    }
  }
}
