package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.translate.TranslationMode;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Guests that make the machine decode and translate as much as they can: they get slow, never
 * wrong, and the JVM's memory suffices. What they compute is known without executing them.
 */
final class CodeLimitsTest {
  /** A few dozens of blocks, and fewer translations than a batch has. */
  private static final CodeCache.Limits SMALL = new CodeCache.Limits(100_000, 80_000);

  @ParameterizedTest
  @EnumSource
  void codeThatRewritesItselfWithoutEndIsRight(TranslationMode mode) {
    int rewrites = mode == TranslationMode.FORCED ? 400 : 4000;
    try (BareProcessor bare = new BareProcessor(mode, SMALL)) {
      bare.state.r[Slot.RBX] = rewrites;
      // xor eax, eax
      // 1: mov [rip + number], ebx ; mov ecx, 1100
      // 2: add rax, number ; dec ecx ; jnz 2b ; dec ebx ; jnz 1b ; hlt
      bare.place(CODE, "31c0 891d07000000 b94c040000 480500000000 ffc9 75f6 ffcb 75e7 f4");
      bare.state.rip = CODE;
      bare.go(100_000_000);
      assertTrue(bare.state.halted);
      assertEquals(1100L * rewrites * (rewrites + 1) / 2, bare.state.r[Slot.RAX]);
      assertEquals(0, bare.translations().failures());
    }
  }

  @ParameterizedTest
  @EnumSource
  void jumpsIntoTheMiddleOfInstructionsFindOtherInstructions(TranslationMode mode) {
    int bytes = mode == TranslationMode.FORCED ? 600 : 4000;
    // At each offset begins add eax, 05050505h; whatever the remainder by 5, the end is a return.
    String code = "05".repeat(bytes) + "c3".repeat(5);
    try (BareProcessor bare = new BareProcessor(mode, SMALL)) {
      bare.place(DATA, code);
      bare.state.r[Slot.RBX] = DATA;
      bare.state.r[Slot.RDX] = DATA + bytes;
      // xor eax, eax ; 1: call rbx ; inc rbx ; cmp rbx, rdx ; jb 1b ; hlt
      bare.place(CODE, "31c0 ffd3 48ffc3 4839d3 72f6 f4");
      bare.state.rip = CODE;
      bare.go(10_000_000);
      assertTrue(bare.state.halted);
      int sum = 0;
      for (int offset = 0; offset < bytes; offset++) {
        int additions = (bytes - offset + 4) / 5;
        sum += 0x05050505 * (additions - 1);
        // The last one's number may have bytes of the returns.
        int own = bytes - (offset + 5 * (additions - 1)) - 1;
        int number = 0;
        for (int at = 3; at >= 0; at--) {
          number = number << 8 | (at < own ? 0x05 : 0xc3);
        }
        sum += number;
      }
      assertEquals(Integer.toUnsignedLong(sum), bare.state.r[Slot.RAX]);
      assertTrue(bare.cache.overflows() + bare.cache.coldDrops() > 0);
    }
  }

  @ParameterizedTest
  @EnumSource
  void distinctHotCodeBeyondTheLimitsIsDroppedAndCounted(TranslationMode mode) {
    try (BareProcessor bare = new BareProcessor(mode, SMALL)) {
      DistinctCode guest =
          new DistinctCode(bare, mode == TranslationMode.FORCED ? 6 : 40, 2 * 1000);
      long expected = guest.run();
      assertEquals(expected, bare.state.r[Slot.RAX]);
      assertTrue(bare.cache.overflows() + bare.cache.coldDrops() > 0);
      assertEquals(0, bare.translations().failures());
    }
  }

  /** 1.5 million blocks take more than the heap has. The loop that calls them stays translated. */
  @Test
  @Tag("slow")
  void memoryFullOfDistinctCodeFitsTheHeap() {
    try (BareProcessor bare = new BareProcessor(TranslationMode.ON)) {
      long expected = new DistinctCode(bare, 4000, 2).run();
      assertEquals(expected, bare.state.r[Slot.RAX]);
      assertTrue(bare.cache.coldDrops() > 1);
      assertEquals(0, bare.cache.overflows());
      assertTrue(bare.translations().regions() <= 2, "the two blocks of the loop, once");
    }
  }

  /** The JVM's own bound instead of ours. */
  @Test
  @Tag("slow")
  void exhaustedMetaspaceIsCountedAndNotFatal() throws IOException, InterruptedException {
    Matcher printed =
        Pattern.compile("300 pages: right (\\w+), dropped (\\d+), failed (\\d+), translated (\\d+)")
            .matcher(distinctCode("300", "-XX:MaxMetaspaceSize=22m"));
    assertTrue(printed.find());
    assertEquals("true", printed.group(1));
    assertTrue(Long.parseLong(printed.group(2)) > 0);
    assertTrue(Long.parseLong(printed.group(3)) > 0);
    assertTrue(Long.parseLong(printed.group(4)) > 0);
  }

  /** HotSpot stops compiling when its code cache is full, and throws code away. */
  @Test
  @Tag("slow")
  void exhaustedCodeCacheIsNotFatal() throws IOException, InterruptedException {
    String printed = distinctCode("100", "-XX:ReservedCodeCacheSize=3m");
    assertTrue(printed.contains("100 pages: right true"), printed);
  }

  private static String distinctCode(String pages, String flag)
      throws IOException, InterruptedException {
    Path root = Path.of(System.getProperty("ringfence.root"));
    Path machine = root.resolve("machine").resolve("target");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@" + root.resolve("jvm.options"),
                flag,
                "-cp",
                String.join(
                    File.pathSeparator,
                    machine.resolve("test-classes").toString(),
                    machine.resolve("classes").toString(),
                    System.getProperty("jdk.module.path", ""),
                    System.getProperty("java.class.path")),
                DistinctCode.class.getName(),
                pages)
            .redirectErrorStream(true)
            .start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), printed);
    return printed;
  }
}
