package dev.ringfence.cli;

import picocli.CommandLine.Option;

/** Whether a cached boot may be gone on from; for commands that boot guests. */
final class FreshOption {
  @Option(
      names = "--fresh",
      description = "Boot even if there is a snapshot of this guest in the cache, and replace it.")
  private boolean fresh;

  boolean fresh() {
    return fresh;
  }
}
