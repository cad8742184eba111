package dev.ringfence.lab.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

final class ManifestTest {
  private static final MachineConfiguration MACHINE =
      MachineConfiguration.of(128L << 20, 2)
          .withSeed(5)
          .withDisks(List.of(new Disk(Path.of("/tmp/disk"), true)));

  private static final GuestRequest REQUEST =
      new GuestRequest(
          Path.of("kernel"),
          null,
          List.of("bash"),
          List.of(Path.of("overlay")),
          "true",
          "quiet",
          null,
          true);

  /** A flat Multiboot image of 64 bytes. */
  private static PreparedGuest guest(int lastByte) {
    byte[] image = new byte[64];
    int[] header = {
      0x1badb002, 0x10000, -(0x1badb002 + 0x10000), 0x200000, 0x200000, 0, 0, 0x200020
    };
    for (int i = 0; i < header.length; i++) {
      for (int b = 0; b < 4; b++) {
        image[4 * i + b] = (byte) (header[i] >> 8 * b);
      }
    }
    image[63] = (byte) lastByte;
    return new PreparedGuest(
        BootImage.of(BootFile.of("image", image)), List.of(), "quiet", null, 0);
  }

  @Test
  void aManifestComesBackFromItsFile() {
    Manifest manifest =
        Manifest.of("0.1.0", MACHINE, REQUEST, guest(0))
            .with(
                List.of(new Manifest.ConsoleInput(1, 2, "COM1", new byte[] {65, 10})),
                new Manifest.Result("PowerOff", 0, 3, 4, "00"));
    Manifest read = Manifest.parse("test", manifest.toJson());

    assertEquals(MACHINE, read.configuration());
    assertEquals(REQUEST, read.guestRequest());
    assertEquals(manifest.images(), read.images());
    assertEquals(10, read.console().getFirst().bytes()[1]);
    assertEquals(manifest.result(), read.result());
  }

  @Test
  void otherImagesAreRefused() {
    Manifest manifest = Manifest.of("0.1.0", MACHINE, REQUEST, guest(0));
    manifest.checkImages("test", guest(0));
    String message =
        assertThrows(BadInputException.class, () -> manifest.checkImages("test", guest(1)))
            .getMessage();
    assertTrue(message.startsWith("test: expected image with SHA-256 "), message);
  }

  @Test
  void whatIsNoManifestIsRefused() {
    for (String text : List.of("", "x", "{}", "[]", "null", "{\"format\": 1}")) {
      String message =
          assertThrows(BadInputException.class, () -> Manifest.parse("test", text), text)
              .getMessage();
      assertTrue(message.startsWith("test: expected a manifest"), message);
    }
    String json = Manifest.of("0.1.0", MACHINE, REQUEST, guest(0)).toJson();
    assertThrows(
        BadInputException.class, () -> Manifest.parse("test", json.replace("2026-01", "then")));
    assertThrows(
        BadInputException.class, () -> Manifest.parse("test", json.replace("134217728", "1")));
  }
}
