package dev.ringfence.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.lab.bench.ReferenceJob;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.oracle.Lockstep;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The beginning of a boot of Debian's kernel is the same interpreted and translated. {@code
 * ./ringfence fuzz lockstep} does the whole.
 */
@Tag("slow")
final class LockstepBootTest {
  @ParameterizedTest
  @CsvSource({"ON, 1, 250000000", "ON, 2, 120000000", "FORCED, 1, 60000000"})
  void bootIsTheSameInterpretedAndTranslated(
      TranslationMode mode, int processors, long instructions) {
    GuestCache cache = GuestCache.ofUser();
    ReferenceJob job =
        ReferenceJob.prepare(
            Path.of(System.getProperty("ringfence.root")),
            cache,
            new GuestPreparation(cache, line -> {}));

    Optional<Lockstep.Difference> difference =
        new Lockstep(
                () -> machine(job, processors, TranslationMode.OFF),
                () -> machine(job, processors, mode))
            .run(2_000_000, instructions, at -> {});

    assertEquals(Optional.empty(), difference);
  }

  private static Machine machine(ReferenceJob job, int processors, TranslationMode mode) {
    Machine machine =
        new Machine(
            MachineConfiguration.of(ReferenceJob.configuration().memoryBytes(), processors)
                .withTranslation(mode));
    job.guest().loadInto(machine);
    return machine;
  }
}
