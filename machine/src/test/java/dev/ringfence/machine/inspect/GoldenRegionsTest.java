package dev.ringfence.machine.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.interpret.BareProcessor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What tiny programs become is what the listings in {@code src/test/resources} say, so that a
 * change of the translator shows as a change of code. After one that is meant: {@code
 * RINGFENCE_REGENERATE=1 ./ringfence test --only GoldenRegionsTest}, and a look at the difference.
 */
final class GoldenRegionsTest {
  /** Programs of 64-bit code. */
  enum Program {
    ADD_AND_RETURN("4801d8 c3"),
    SUBTRACT_IMMEDIATE_32("81e980000000 c3"),
    COMPARE_AND_JUMP("4839f0 7203 4801d8 c3"),
    COMPARE_SIGNED_AND_JUMP("39f0 7c02 29d8 c3"),
    TEST_AND_JUMP("4885c0 7402 31c0 c3"),
    LOOP("48ffc9 75fb c3"),
    LOAD("488b4608 c3"),
    LOAD_BYTE_AND_EXTEND("0fb606 0fbe4e01 c3"),
    STORE("48894608 c3"),
    STORE_IMMEDIATE("c7460c78563412 c3"),
    READ_MODIFY_WRITE("480106 c3"),
    PUSH_AND_POP("50 5b c3"),
    CALL_INSIDE("e801000000 c3 4801d8 c3"),
    CALL_OUTSIDE("e800100000 c3"),
    INDIRECT_JUMP("ffe0"),
    SHIFT_BY_CONSTANT("48c1e003 c1e805 c3"),
    SHIFT_BY_REGISTER("48d3e0 c3"),
    ROTATE("c1c007 c3"),
    CONDITIONAL_MOVE("4839d8 480f4cc3 c3"),
    SET_BYTE("85c0 0f94c1 c3"),
    MULTIPLY("480fafc3 c3"),
    HIGH_BYTE("88e0 00dc c3"),
    ADD_WITH_CARRY("4801d8 4811ca c3"),
    INCREMENT_BYTE("fec0 c3"),
    PER_PROCESSOR_LOAD("65488b042500000000 c3"),
    RELATIVE_LOAD("488b0510000000 c3"),
    MOVE_VECTOR("0f2806 0f2907 c3"),
    HELPER("48f7f1 c3"),
    SYSTEM_INSTRUCTION("fa c3");

    private final String hex;

    Program(String hex) {
      this.hex = hex;
    }
  }

  private static final Path FOLDER =
      Path.of(
          System.getProperty("ringfence.root"),
          "machine/src/test/resources/dev/ringfence/machine/inspect");

  @ParameterizedTest
  @EnumSource
  void aProgramBecomesTheCodeThatWasKept(Program program) throws IOException {
    List<String> listing;
    try (BareProcessor bare = new BareProcessor()) {
      bare.place(BareProcessor.CODE, program.hex);
      listing =
          RegionListing.of(
              bare.processor,
              BareProcessor.CODE,
              BareProcessor.CODE,
              -1,
              64,
              address -> "0x%x".formatted(address));
    }
    Path file = FOLDER.resolve(program.name().toLowerCase(Locale.ROOT) + ".txt");
    if (System.getenv("RINGFENCE_REGENERATE") != null) {
      Files.write(file, listing);
    }

    assertEquals(
        String.join("\n", Files.readAllLines(file)),
        String.join("\n", listing),
        () -> "if this is meant: RINGFENCE_REGENERATE=1 ./ringfence test --only GoldenRegionsTest");
  }
}
