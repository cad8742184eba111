package dev.ringfence.lab.workload;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.parallel.Execution;
import org.junit.jupiter.api.parallel.ExecutionMode;

/** Workloads in a guest with Debian's kernel. */
@Tag("slow")
@Execution(ExecutionMode.CONCURRENT)
final class WorkloadGuestTest {
  @Test
  void programsFilesMarksAndDiskAreThereAndSyscallsDoesAllItsPhases() {
    GuestCache cache = GuestCache.ofUser();
    WorkloadPreparation preparation =
        new WorkloadPreparation(cache, new GuestPreparation(cache, line -> {}), line -> {});
    PreparedWorkload prepared =
        preparation.prepare(
            Workload.parse(
                """
                name: test
                title: A test
                description: All that a workload may have
                programs: [syscalls.c]
                files:
                  - path: /root/greeting
                    mode: 0640
                    content: "hello\\n"
                phases: [one, two]
                append: test.word
                disk: 64M
                command: |
                  set -eu
                  cat greeting
                  stat -c %a greeting
                  grep -o 'test.word more.words' /proc/cmdline
                  cat /sys/block/vda/size
                  ringfence-mark begin
                  ringfence-mark phase-begin two
                  ringfence-mark phase-end 1
                  ! ringfence-mark phase-begin three
                  syscalls 500 | while read -r name count rest; do echo "$name $count"; done
                  ringfence-mark end
                """,
                "test.yaml", null),
            null,
            "more.words",
            false);
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    List<String> marks = new ArrayList<>();
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    try (Machine machine = new Machine(prepared.configuration())) {
      prepared.guest().loadInto(machine);
      machine
          .probes()
          .add(
              new Probe() {
                @Override
                public void marked(Processor processor, int operation, long argument) {
                  marks.add(Marker.of(operation).orElseThrow() + " " + argument);
                }
              });
      GuestSession session =
          new GuestSession(
              machine,
              prepared.guest().assignment(),
              prepared.workload().maximumInstructions(),
              console,
              output,
              false);
      assertEquals(new StopReason.PowerOff(), session.runToEnd());
      assertEquals(OptionalInt.of(0), session.commandStatus(), console::toString);
    }
    List<String> lines = output.toString(StandardCharsets.UTF_8).lines().toList();
    assertEquals(
        List.of("hello", "640", "test.word more.words", String.valueOf((64 << 20) / 512)),
        lines.subList(0, 4));
    assertEquals(
        Workload.load("syscalls").phases(),
        lines.stream().skip(4).map(line -> line.substring(0, line.indexOf(' '))).toList());
    assertTrue(lines.contains("getpid 200"), lines::toString);
    assertEquals(
        List.of("REGION_BEGIN 0", "PHASE_BEGIN 1", "PHASE_END 1", "REGION_BEGIN 0"),
        marks.subList(0, 4));
    // Those of syscalls: each phase begins and ends once or more, one after the other.
    List<String> phases = marks.subList(4, marks.size() - 2);
    int index = 0;
    for (int i = 0; i < phases.size(); i += 2) {
      index = phases.get(i).equals("PHASE_BEGIN " + index) ? index : index + 1;
      assertEquals("PHASE_BEGIN " + index, phases.get(i));
      assertEquals("PHASE_END " + index, phases.get(i + 1));
    }
    assertEquals(Workload.load("syscalls").phases().size() - 1, index);
    assertEquals(
        List.of("REGION_END 0", "REGION_END 0"), marks.subList(marks.size() - 2, marks.size()));
    assertEquals(
        "ringfence-mark: three: expected an index or a name from /etc/ringfence-phases, found another",
        console.toString(StandardCharsets.UTF_8).strip());
  }
}
