package dev.ringfence.cli;

import picocli.CommandLine.Option;

/** Whether a profile of the guest is wanted; for commands that execute guests. */
final class ProfileOption {
  @Option(
      names = "--profile",
      description = "Tell where instructions and the host's time went, by guest function.")
  private boolean profile;

  boolean profile() {
    return profile;
  }
}
