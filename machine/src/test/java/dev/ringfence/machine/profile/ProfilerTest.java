package dev.ringfence.machine.profile;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Profiles of a guest of two loops, of which one runs for nine tenths of the instructions. */
final class ProfilerTest {
  private static final long ENTRY = 0x100000;
  private static final long INSTRUCTIONS = 20_000_000;

  /** Where the second loop begins. */
  private static final long SHORT_LOOP = ENTRY + 9;

  /**
   * As an assembler gives it: the long loop, the short loop, and back.
   *
   * <pre>
   * 1: mov ecx, 9000; 2: dec ecx; jnz 2b
   *    mov ecx, 1000; 3: dec ecx; jnz 3b
   *    jmp 1b
   * </pre>
   */
  private static final String LOOPS = "b928230000 4975fd b9e8030000 4975fd ebee";

  /** A 32-bit ELF executable, in which DEC is one byte. */
  private static BootImage image() {
    byte[] code = HexFormat.of().parseHex(LOOPS.replace(" ", ""));
    ByteBuffer image = ByteBuffer.allocate(128 + code.length).order(ByteOrder.LITTLE_ENDIAN);
    image.putInt(0, 0x464c457f).put(4, (byte) 1).put(5, (byte) 1);
    image.putShort(16, (short) 2).putShort(18, (short) 3);
    image.putInt(24, (int) ENTRY).putInt(28, 52).putShort(42, (short) 32).putShort(44, (short) 1);
    image.putInt(52, 1).putInt(56, 128).putInt(60, (int) ENTRY).putInt(64, (int) ENTRY);
    image.putInt(68, code.length).putInt(72, code.length);
    image.put(128, code);
    return BootImage.of(BootFile.of("loops", image.array()));
  }

  private static Profile profile(TranslationMode mode) {
    try (Machine machine =
        new Machine(
            MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1)
                .withTranslation(mode))) {
      machine.load(image(), "", List.of());
      Profiler profiler = Profiler.start(machine);
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS));
      return profiler.stop();
    }
  }

  private static Map<String, Profile.Function> functions(Profile profile) {
    return profile
        .functions(rip -> Long.compareUnsigned(rip, SHORT_LOOP) < 0 ? "long" : "short")
        .stream()
        .collect(Collectors.toMap(Profile.Function::name, Function.identity()));
  }

  @ParameterizedTest
  @EnumSource(TranslationMode.class)
  void theLoopThatDominatesHasNineTenthsOfTheInstructions(TranslationMode mode) {
    Profile profile = profile(mode);
    assertEquals(INSTRUCTIONS, profile.instructions());
    long expected = INSTRUCTIONS / Profiler.INTERVAL;
    assertTrue(Math.abs(profile.instructionSamples() - expected) <= 1, "samples");
    double share =
        functions(profile).get("long").instructionSamples() / (double) profile.instructionSamples();
    assertEquals(0.9, share, 0.03);
  }

  @Test
  void instructionSamplesAreTheSameWithTranslationAndWithout() {
    assertEquals(places(profile(TranslationMode.OFF)), places(profile(TranslationMode.FORCED)));
  }

  private static Map<Long, Long> places(Profile profile) {
    return profile.places().stream()
        .filter(place -> place.instructionSamples() > 0)
        .collect(Collectors.toMap(Profile.Place::rip, Profile.Place::instructionSamples));
  }

  @Test
  void interpretedCodeIsToldFromTranslatedCode() {
    Profile interpreted = profile(TranslationMode.OFF);
    assertEquals(0, interpreted.translatedSamples());
    assertEquals(0, interpreted.activities().get(Activity.TRANSLATED));
    assertTrue(interpreted.activities().get(Activity.INTERPRETED) > 0, "host samples");
    Profile translated = profile(TranslationMode.FORCED);
    assertTrue(translated.instructionSamples() - translated.translatedSamples() <= 1, "samples");
    assertTrue(translated.translation().regions() > 0, "regions");
  }

  private static StackTraceElement[] stack(String... frames) {
    StackTraceElement[] stack = new StackTraceElement[frames.length];
    for (int i = 0; i < frames.length; i++) {
      int dot = frames[i].lastIndexOf('.');
      stack[i] =
          new StackTraceElement(
              "dev.ringfence." + frames[i].substring(0, dot), frames[i].substring(dot + 1), "", 1);
    }
    return stack;
  }

  @Test
  void whatAnObserverOrADeviceDoesIsTheirs() {
    String run = "machine.Machine.run";
    String load = "machine.paging.TranslatedMemory.load8";
    String interpreter = "machine.interpret.Interpreter.execute";
    assertEquals(Activity.MEMORY, Activity.of(stack(load, interpreter, run)));
    assertEquals(
        Activity.DEVICES, Activity.of(stack("machine.device.Hpet.read", load, interpreter, run)));
    assertEquals(
        Activity.OBSERVERS,
        Activity.of(stack(load, "isolation.monitor.PolicyRun.exit", load, interpreter, run)));
    assertEquals(Activity.OUTSIDE, Activity.of(stack("lab.run.GuestSession.advance")));
    assertEquals(Activity.TRANSLATED, Activity.of(stack("machine.translate.Execution.run", run)));
  }
}
