package dev.ringfence.lab.attack;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.MachineConfiguration;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/**
 * The attacks that are shipped, on processors that leak and on those that do not. Only a sample
 * runs by default; {@code RINGFENCE_ALL_ATTACKS=1} runs all attacks, compiled in each way, and
 * {@code ringfence attack} compares whole matrices with what is published.
 */
@Tag("slow")
final class ShippedAttacksTest {
  private static final boolean ALL = "1".equals(System.getenv("RINGFENCE_ALL_ATTACKS"));
  private static final long SEED = 12;
  private static final GuestCache CACHE = GuestCache.ofUser();

  /** Other optimization, and other addresses of code and data. */
  private static final Map<String, List<String>> WAYS_TO_COMPILE =
      ALL
          ? Map.of(
              "one", List.of("-O1"),
              "two", List.of("-O2", "-Wl,-Ttext-segment=0x10000000"),
              "three", List.of("-O3"),
              "four", List.of("-O1", "-Wl,-Ttext-segment=0x7ab000"))
          : Map.of(
              "one", List.of("-O1", "-Wl,-Ttext-segment=0x10000000"),
              "three", List.of("-O3", "-Wl,-Ttext-segment=0x7ab000"));

  private static final List<String> ATTACKS = List.of("meltdown", "spectre-v1");

  @TempDir private Path folder;

  /** Attacks that were renamed. */
  private int copies;

  private static LeakMatrix run(
      AttackPreparation.AttackGuest guest,
      String model,
      List<Attack> attacks,
      String... mitigations) {
    return new AttackMatrix(
            guest,
            MachineConfiguration.of((ALL ? 512L : 128L) << 20, 1).withCpuModel(model),
            new BootSnapshots(CACHE, false, "test", line -> {}),
            SEED,
            (cell, done, all) -> {})
        .execute(attacks, MitigationCatalog.shipped().choose(List.of(mitigations)));
  }

  private static AttackPreparation preparation(
      Path sources, Function<String, List<String>> options) {
    return new AttackPreparation(
        CACHE, new GuestPreparation(CACHE, line -> {}), line -> {}, sources, options);
  }

  private static void assertLeaked(Cell cell) {
    assertEquals(Cell.LEAKED, cell.outcome(), cell.toString());
    // Nine of ten bytes.
    assertTrue(cell.evidence().right() * 10 >= cell.evidence().of() * 9, cell.toString());
  }

  @Test
  void aSampleOfTheMatrixIsAsPublished() {
    AttackPreparation.AttackGuest guest =
        preparation(AttackPreparation.shipped("attacks"), program -> List.of())
            .prepare(AttackCatalog.shipped(), Attack.From.USER, null, "");
    List<Attack> attacks =
        AttackCatalog.shipped().choose(ATTACKS, Attack.From.USER).stream()
            .map(attack -> attack.on(attack.targets().getFirst()))
            .toList();
    List<Cell> affected = run(guest, "skylake-server", attacks, "none", "linux-default").cells();
    List<Cell> partly = run(guest, "zen2", attacks, "none").cells();
    List<Cell> ideal = run(guest, "ideal", attacks, "none").cells();
    assertEquals(8, affected.size() + partly.size() + ideal.size());
    Stream.of(affected, partly, ideal)
        .flatMap(List::stream)
        .forEach(cell -> assertTrue(cell.agrees(), cell.toString()));
    // By Lipp et al., Kocher et al., and the kernel's documents on both, not by our own file.
    assertLeaked(cell(affected, "meltdown", "none"));
    assertEquals(Cell.NOT_LEAKED, cell(affected, "meltdown", "linux-default").outcome());
    assertEquals(Cell.NOT_LEAKED, cell(partly, "meltdown", "none").outcome());
    assertLeaked(cell(affected, "spectre-v1", "none"));
    assertLeaked(cell(partly, "spectre-v1", "none"));
    ideal.forEach(cell -> assertEquals(Cell.NOT_LEAKED, cell.outcome(), cell.toString()));
  }

  /**
   * Documentation/admin-guide/hw-vuln/l1tf.rst: a malicious guest reads what is in the first-level
   * cache, unless the hypervisor flushes it at each entry.
   */
  @Test
  void aGuestReadsAnotherTenantsSecretUnlessKvmFlushes() {
    AttackPreparation.AttackGuest guest =
        preparation(AttackPreparation.shipped("attacks"), program -> List.of())
            .prepare(AttackCatalog.shipped(), Attack.From.GUEST, null, "");
    List<Attack> attacks =
        AttackCatalog.shipped().choose(List.of("l1tf-guest"), Attack.From.GUEST).stream()
            .map(attack -> attack.on(attack.targets().getFirst()))
            .toList();
    List<Cell> cells =
        run(guest, "skylake-server", attacks, "none", "kvm-l1d-flush-always").cells();
    assertLeaked(cell(cells, "l1tf-guest", "none"));
    Cell flushed = cell(cells, "l1tf-guest", "kvm-l1d-flush-always");
    assertEquals(Cell.NOT_LEAKED, flushed.outcome(), flushed.toString());
  }

  private static Cell cell(List<Cell> cells, String attack, String column) {
    return cells.stream()
        .filter(cell -> cell.attack().equals(attack) && cell.column().equals(column))
        .findFirst()
        .orElseThrow();
  }

  /**
   * Nothing knows an attack by its name, its code or its addresses: the same source leaks under
   * another name, compiled and linked in other ways. And what is told is what is there: where it is
   * not the secret that lies at the address, the attack scores as chance.
   */
  @Test
  void attacksLeakUnderOtherNamesFromOtherCodeAtOtherAddresses() throws IOException {
    copyPrograms();
    Target process = target("process");
    Target other =
        new Target(
            "other",
            "Memory of a process that does not have the secret",
            """
            head -c "$BYTES" /dev/urandom >/root/other
            secret-service --target process --secret /root/other
            """);
    List<Attack> attacks = new ArrayList<>();
    for (Attack attack : AttackCatalog.shipped().choose(ATTACKS, Attack.From.USER)) {
      attacks.addAll(renamed(attack, WAYS_TO_COMPILE.keySet(), List.of(process)));
      attacks.addAll(renamed(attack, Set.of("one"), List.of(other)));
    }
    List<Cell> cells = runRenamed("skylake-server", attacks);
    assertEquals(2 * WAYS_TO_COMPILE.size() + 2, cells.size());
    for (Cell cell : cells) {
      if (cell.target().equals("process")) {
        assertLeaked(cell);
      } else {
        assertEquals(Cell.NOT_LEAKED, cell.outcome(), cell.toString());
        // It did find something out: most bytes of what is there.
        assertTrue(
            cell.evidence().recovered().replace("?", "").length() > cell.evidence().of(),
            cell.toString());
      }
    }
  }

  /** The same from a virtual machine, whose kernel is then a copy of that other code. */
  @Test
  void attacksFromGuestsDoSoToo() throws IOException {
    copyPrograms();
    List<String> names = ALL ? List.of() : List.of("l1tf-guest");
    Set<String> ways = ALL ? WAYS_TO_COMPILE.keySet() : Set.of("one");
    leakRenamed("skylake-server", AttackCatalog.shipped().choose(names, Attack.From.GUEST), ways);
  }

  /** All others, each on a processor that it is known to work on. */
  @Test
  @EnabledIfEnvironmentVariable(named = "RINGFENCE_ALL_ATTACKS", matches = "1")
  void allAttacksDoSo() throws IOException {
    copyPrograms();
    Map<Boolean, List<Attack>> byMaker =
        AttackCatalog.shipped().choose(List.of(), Attack.From.USER).stream()
            .filter(attack -> !ATTACKS.contains(attack.name()))
            .collect(Collectors.partitioningBy(attack -> attack.name().equals("srso")));
    leakRenamed("skylake-server", byMaker.get(false), WAYS_TO_COMPILE.keySet());
    leakRenamed("zen4", byMaker.get(true), WAYS_TO_COMPILE.keySet());
  }

  private static Target target(String name) {
    return AttackCatalog.shipped().targets().stream()
        .filter(target -> target.name().equals(name))
        .findFirst()
        .orElseThrow();
  }

  private void leakRenamed(String model, List<Attack> attacks, Set<String> ways)
      throws IOException {
    List<Attack> renamed = new ArrayList<>();
    for (Attack attack : attacks) {
      renamed.addAll(renamed(attack, ways, List.of(attack.targets().getFirst())));
    }
    List<Cell> cells = runRenamed(model, renamed);
    assertEquals(attacks.size() * ways.size(), cells.size());
    cells.forEach(ShippedAttacksTest::assertLeaked);
  }

  /** A shipped attack under other names, one for each way of compiling it. */
  private List<Attack> renamed(Attack attack, Set<String> ways, List<Target> targets)
      throws IOException {
    List<Attack> renamed = new ArrayList<>();
    for (String way : ways.stream().sorted().toList()) {
      String name = way + "-" + copies++;
      Files.copy(folder.resolve(attack.program()), folder.resolve(name + ".c"));
      renamed.add(
          new Attack(
              name,
              attack.from(),
              "Renamed",
              "For tests.",
              "That of " + attack.name(),
              name + ".c",
              attack.setup(),
              targets,
              attack.bytes(),
              attack.budget(),
              List.of("none")));
    }
    return renamed;
  }

  private List<Cell> runRenamed(String model, List<Attack> attacks) {
    AttackCatalog renamed =
        new AttackCatalog(
            attacks.stream().flatMap(attack -> attack.targets().stream()).distinct().toList(),
            attacks,
            AttackCatalog.shipped().programs(),
            List.of());
    AttackPreparation.AttackGuest guest =
        preparation(
                folder,
                program ->
                    WAYS_TO_COMPILE.getOrDefault(
                        program.substring(0, Math.max(0, program.indexOf('-'))), List.of()))
            .prepare(renamed, attacks.getFirst().from(), null, "");
    return run(guest, model, attacks, "none").cells();
  }

  private void copyPrograms() throws IOException {
    try (Stream<Path> files = Files.list(AttackPreparation.shipped("attacks"))) {
      files
          .filter(Files::isRegularFile)
          .forEach(file -> {
            try {
              Files.copy(file, folder.resolve(file.getFileName()));
            } catch (IOException e) {
              throw new UncheckedIOException(e);
            }
          });
    }
  }
}
