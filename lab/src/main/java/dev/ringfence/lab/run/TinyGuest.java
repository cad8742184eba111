package dev.ringfence.lab.run;

import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.util.HexFormat;
import java.util.List;

/**
 * A guest that needs no package and no time: it says that it is up, takes its assignment, gives the
 * command back as its output and ends with status 1 of isa-debug-exit. For rehearsals of a start,
 * and tests of one. Its source is guest/rehearsal/echo.S.
 */
public final class TinyGuest {
  private static final byte[] IMAGE =
      HexFormat.of()
          .parseHex(
              """
              02b0ad1b00000100fe4f51e40000100000001000da001000da00100020001000bc00003000bea400
              1000e85100000031c9e8560000002c303c09770a6bc90a0fb6c001c1ebeb3cda7409e83d0000002c
              30ebf3beb2001000e823000000bf00002000e30ee823000000aae82e00000049ebf0bec3001000e8
              0400000031c0e6f4ac3cff7417e813000000ebf4bafd020000eca80174fbbaf8020000ecc3baf802
              0000eec352494e4746454e43452d55500aff52494e4746454e43452d53544152540aff0052494e47
              46454e43452d535441545553203030300aff
              """
                  .replaceAll("\\s", ""));

  private TinyGuest() {}

  /** A machine for it. */
  public static MachineConfiguration configuration() {
    return MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1)
        .withTestDevices(MachineConfiguration.DEFAULT_DEBUG_EXIT_PORT);
  }

  /**
   * The guest.
   *
   * @param command that it is to give back
   * @param commandLine that it does not read
   */
  public static PreparedGuest prepared(String command, String commandLine) {
    return new PreparedGuest(
        BootImage.of(BootFile.of("tiny guest", IMAGE)),
        List.of(),
        commandLine,
        new Assignment(command, null),
        0);
  }

  /** What one would have asked for. */
  public static GuestRequest request(String command) {
    return GuestRequest.ofCommand(command);
  }
}
