package dev.ringfence.lab.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.silicon.model.SiliconModel;
import java.io.OutputStream;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** From where a guest is executed in detail. */
final class DetailedModeTest {
  /** MOV ECX, 10; LOOP to itself: 11 instructions. */
  private static final String BEFORE = "b90a000000e2fe";

  /** MOV EAX, "RING"; MOV ECX, 1; CPUID. */
  private static final String MARK = "b8474e4952b9010000000fa2";

  /** Five NOPs; MOV AL, 0; OUT to the port that ends the run: 7 instructions. */
  private static final String AFTER = "9090909090b000e6f4";

  private final Machine machine =
      new Machine(
          MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1).withTestDevices(0xf4));

  @AfterEach
  void close() {
    machine.close();
  }

  private DetailedMode run(String code, DetailedMode.Start start) {
    byte[] bytes = HexFormat.of().parseHex(code);
    machine.load(BootImage.of(BootFile.of("marked", GuestSessionTest.elf(bytes))), "", List.of());
    OutputStream nowhere = OutputStream.nullOutputStream();
    GuestSession session = new GuestSession(machine, null, 1000, nowhere, nowhere, true);
    DetailedMode mode =
        DetailedMode.arrange(
            session, SiliconModel.load(MachineConfiguration.DEFAULT_CPU_MODEL), start);
    assertEquals(start == DetailedMode.Start.MARKER, mode.silicon().cores().isEmpty());
    assertInstanceOf(StopReason.DebugExit.class, session.runToEnd());
    return mode;
  }

  @Test
  void detailBeginsBehindTheFirstMarker() {
    DetailedMode mode = run(BEFORE + MARK + AFTER + MARK, DetailedMode.Start.MARKER);
    assertEquals(21, machine.instructions());
    String summary = mode.summary();
    assertTrue(summary.startsWith("skylake-server in detail: 7 instructions, "), summary);
  }

  @Test
  void withoutAMarkerItIsNotReachedAndTheSummarySaysSo() {
    DetailedMode mode = run(BEFORE + AFTER, DetailedMode.Start.MARKER);
    assertEquals("detailed mode was not reached", mode.summary());
  }

  @Test
  void orAtOnce() {
    DetailedMode mode = run(BEFORE + AFTER, DetailedMode.Start.UP);
    String summary = mode.summary();
    assertTrue(summary.startsWith("skylake-server in detail: 18 instructions, "), summary);
  }
}
