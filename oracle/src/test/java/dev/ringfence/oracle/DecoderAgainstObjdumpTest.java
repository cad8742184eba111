package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.linux.image.KernelPayload;
import dev.ringfence.machine.decode.Decoder;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.InstructionTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The decoder against objdump: the whole text of the Debian kernel and of busybox, and random bytes
 * in all code widths. Lengths and operations must be equal.
 */
@Tag("slow")
final class DecoderAgainstObjdumpTest {
  /** Of each kind of difference (objdump's name and ours) one instruction is shown. */
  private static final int MOST_SHOWN = 60;

  private static final int RANDOM_BYTES = 1 << 20;

  private static final GuestPreparation PREPARATION =
      new GuestPreparation(GuestCache.ofUser(), line -> {});

  private final Decoder decoder = new Decoder(InstructionTable.standard());
  private final OperationNames names = OperationNames.read();
  private final Map<String, String> differences = new TreeMap<>();
  private final Map<String, Integer> undecoded = new TreeMap<>();
  private long compared;

  @TempDir private Path folder;

  @BeforeEach
  void objdumpIsThere() {
    assumeTrue(Objdump.installed(), "objdump is not installed (package binutils)");
  }

  @Test
  void theTextOfBusybox() throws IOException {
    Path busybox = folder.resolve("busybox");
    Files.write(busybox, PREPARATION.busyboxProgram());

    Objdump.list(List.of("-d", "-j", ".text", busybox.toString()), line -> compare(line, 64));

    assertTrue(compared > 100_000, "expected many instructions, found " + compared);
    report();
  }

  @Test
  void theKernelsText() throws IOException {
    Path kernel = folder.resolve("vmlinux");
    Path image = PREPARATION.defaultKernelImage();
    Files.write(kernel, KernelPayload.extract(Files.readAllBytes(image), image.toString()));

    Objdump.list(List.of("-d", "-j", ".text", kernel.toString()), line -> compare(line, 64));

    assertTrue(compared > 1_000_000, "expected millions of instructions, found " + compared);
    report();
  }

  @ParameterizedTest
  @CsvSource({"64,i386:x86-64", "32,i386", "16,i8086"})
  void randomBytes(int codeWidth, String architecture) throws IOException {
    byte[] bytes = new byte[RANDOM_BYTES];
    new Random(InstructionFuzzTest.seed()).nextBytes(bytes);
    Path file = folder.resolve("random");
    Files.write(file, bytes);

    Objdump.list(
        List.of("-D", "-b", "binary", "-m", architecture, file.toString()),
        line -> compareLength(line, bytes, codeWidth));

    assertTrue(compared > RANDOM_BYTES / 10, "expected many instructions, found " + compared);
    report();
  }

  /** Random bytes are mostly instructions that no compiler writes: only lengths are compared. */
  private void compareLength(Objdump.Line line, byte[] bytes, int codeWidth) {
    if (line.isInvalid() || line.name().isEmpty()) {
      return;
    }
    try {
      int at = (int) line.address();
      Instruction instruction = decoder.decode(bytes, at, bytes.length, codeWidth);
      compared++;
      // objdump shows FWAIT as a part of the instruction that follows.
      if (instruction.length() != line.bytes().length && !instruction.mnemonic().equals("FWAIT")) {
        differences.putIfAbsent(line.name() + " " + instruction.mnemonic(), line.text());
      }
    } catch (Decoder.DecodeException e) {
      undecoded.merge(line.name(), 1, Integer::sum);
      // LOCK is refused where objdump does not mind it.
      boolean locked = line.hasByte(0xf0);
      if (e.failure() == Decoder.Failure.INVALID && !locked && !names.isLeftOut(line, codeWidth)) {
        differences.putIfAbsent("invalid " + line.name(), line.text());
      }
    }
  }

  private void compare(Objdump.Line line, int codeWidth) {
    compared++;
    byte[] padded = java.util.Arrays.copyOf(line.bytes(), 16);
    String theirs = line.name();
    String ours;
    int length;
    try {
      Instruction instruction = decoder.decode(padded, 0, 16, codeWidth);
      ours = instruction.mnemonic();
      length = instruction.length();
    } catch (Decoder.DecodeException e) {
      if (names.isLeftOut(line, codeWidth)) {
        undecoded.merge(theirs, 1, Integer::sum);
        return;
      }
      ours = "(" + e.failure() + ")";
      length = line.bytes().length;
    }
    if (line.isInvalid() && ours.startsWith("(")) {
      return;
    }
    if (length != line.bytes().length) {
      differences.putIfAbsent("length " + theirs + " " + ours, line.text());
    } else if (!names.agree(theirs, ours)) {
      differences.putIfAbsent(theirs + " " + ours, line.text());
    }
  }

  private void report() {
    System.out.printf("%d instructions compared; not decoded by rule: %s%n", compared, undecoded);
    assertEquals(
        "",
        String.join(
            "\n",
            differences.entrySet().stream()
                .map(entry -> entry.getKey() + "    " + entry.getValue())
                .limit(MOST_SHOWN)
                .toList()),
        differences.size() + " kinds of differences");
  }
}
