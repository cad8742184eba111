package dev.ringfence.lab.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.Compiler;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.Overlay;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.silicon.Silicon;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Detailed mode under Debian's kernel. */
@Tag("slow")
class DetailedBootTest {
  private static final long MEMORY = 256L << 20;

  /** Past the decompressor, into the kernel's own start. */
  private static final long INSTRUCTIONS = 100_000_000;

  private static final String MODEL = MachineConfiguration.DEFAULT_CPU_MODEL;

  private static PreparedGuest guest(String command) {
    return new GuestPreparation(GuestCache.ofUser(), line -> {})
        .prepare(
            command.isEmpty()
                ? new GuestRequest(null, null, List.of(), List.of(), null, "", null, false)
                : GuestRequest.ofCommand(command));
  }

  private static String state(Machine machine) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      ProcessorState state = machine.processors().getFirst().state();
      // Temporaries and the start of the block depend on where executors divide code into blocks.
      return "%d instructions, %d ns, rip %x, flags %x, registers %s %s, memory %s"
          .formatted(
              machine.instructions(),
              machine.nanoseconds(),
              state.rip,
              state.rflags(),
              Arrays.toString(Arrays.copyOf(state.r, Slot.ZERO)),
              Arrays.toString(Arrays.copyOfRange(state.r, Slot.VECTOR, Slot.VECTOR_TEMPORARY)),
              HexFormat.of().formatHex(digest.digest()));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aBootIsTheSameWithSiliconAndWithout() {
    PreparedGuest guest = guest("");
    String without;
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      guest.loadInto(machine);
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS));
      without = state(machine);
    }
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      guest.loadInto(machine);
      Silicon silicon = new Silicon(SiliconModel.load(MODEL), TimeBase.INSTRUCTIONS);
      silicon.attach(machine);
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS / 2));
      // What is attached later, or taken away, changes nothing either.
      silicon.detach();
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS / 2 + 5_000_000));
      silicon.attach(machine);
      machine.run(RunLimits.untilInstruction(INSTRUCTIONS));
      assertEquals(without, state(machine));
    }
  }

  @Test
  void aCommandRunsInDetailOnceTheSystemIsUp() {
    PreparedGuest guest = guest("echo $((6 * 7))");
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      GuestSession session = session(guest, machine, output);
      DetailedMode mode =
          DetailedMode.arrange(session, SiliconModel.load(MODEL), DetailedMode.Start.BOOT);
      assertTrue(mode.silicon().cores().isEmpty());
      session.runToEnd();
      assertEquals("42\n", output.toString(StandardCharsets.UTF_8));
      assertEquals(0, session.commandStatus().orElseThrow());
      assertTrue(mode.silicon().executors().getFirst().wrongPaths() > 1000);
    }
  }

  /** Debian's KVM enters and leaves a virtual machine for each kind of exit. */
  @Test
  void virtualMachinesOfKvmComeToTheSameInDetail() {
    GuestCache cache = GuestCache.ofUser();
    Path program =
        new Compiler(cache, line -> {})
            .compile(Path.of(System.getProperty("ringfence.root"), "guest/workloads/vm-exits.c"));
    PreparedGuest guest =
        new GuestPreparation(cache, line -> {})
            .prepare(
                new GuestRequest(
                    null,
                    null,
                    List.of(),
                    List.of(
                        Overlay.folder(
                            cache, Map.of("/usr/local/bin/vm-exits", executable(program)))),
                    List.of("kvm_intel"),
                    "vm-exits 5 unmarked",
                    "",
                    null,
                    false));
    String fast = output(guest, false);
    assertTrue(fast.startsWith("cpuid: 0 exits reached the monitor\n"), fast);
    assertTrue(fast.contains("mmio: 5 exits reached the monitor\n"), fast);
    assertEquals(fast, output(guest, true));
  }

  private static Overlay.Entry executable(Path program) {
    try {
      return new Overlay.Entry(0755, Files.readAllBytes(program));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static GuestSession session(
      PreparedGuest guest, Machine machine, ByteArrayOutputStream output) {
    guest.loadInto(machine);
    return new GuestSession(
        machine,
        guest.assignment(),
        5_000_000_000L,
        OutputStream.nullOutputStream(),
        output,
        false);
  }

  private static String output(PreparedGuest guest, boolean inDetail) {
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      GuestSession session = session(guest, machine, output);
      if (inDetail) {
        DetailedMode.arrange(session, SiliconModel.load(MODEL), DetailedMode.Start.BOOT);
      }
      session.runToEnd();
      assertEquals(0, session.commandStatus().orElseThrow());
    }
    return output.toString(StandardCharsets.UTF_8);
  }
}
