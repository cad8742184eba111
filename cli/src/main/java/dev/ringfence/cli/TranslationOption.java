package dev.ringfence.cli;

import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.translate.TranslationMode;
import picocli.CommandLine.Option;

/** When guest code is translated to bytecode; for commands that execute guests. */
final class TranslationOption {
  @Option(
      names = "--translation",
      paramLabel = "MODE",
      defaultValue = "ON",
      description =
          "Guest code becomes JVM bytecode: ON when it is hot, OFF never, FORCED all of it, before it"
              + " is executed (slow, for tests). Results are the same. Default: ${DEFAULT-VALUE}.")
  private TranslationMode mode = TranslationMode.ON;

  MachineConfiguration applyTo(MachineConfiguration configuration) {
    return configuration.withTranslation(mode);
  }
}
