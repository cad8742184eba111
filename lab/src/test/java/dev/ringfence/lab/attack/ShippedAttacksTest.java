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
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The attacks that are shipped, on processors that leak and on those that do not. Only a sample
 * runs by default; {@code RINGFENCE_ALL_ATTACKS=1} runs each way of compiling, and {@code ringfence
 * attack} compares whole matrices with what is published.
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

  private static LeakMatrix run(
      AttackPreparation.AttackGuest guest,
      String model,
      List<Attack> attacks,
      String... mitigations) {
    return new AttackMatrix(
            guest,
            MachineConfiguration.of(128L << 20, 1).withCpuModel(model),
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
    StringBuilder catalog =
        new StringBuilder(
            """
            programs: [unprivileged.c, secret-service.c, gadgets.c]
            targets:
              - name: process
                title: Memory of another process
                setup: secret-service --target process --secret "$SECRET"
              - name: other
                title: Memory of a process that does not have the secret
                setup: |
                  head -c "$BYTES" /dev/urandom >/root/other
                  secret-service --target process --secret /root/other
            attacks:
            """);
    List<Attack> attacks = AttackCatalog.shipped().choose(ATTACKS, Attack.From.USER);
    for (int i = 0; i < attacks.size(); i++) {
      for (String way : ways()) {
        String targets = way.equals("one") ? "process, other" : "process";
        catalog.append(renamed(attacks.get(i), way + "-" + i, targets));
      }
    }
    LeakMatrix matrix = runRenamed(catalog.toString(), Attack.From.USER);
    assertEquals(2 * WAYS_TO_COMPILE.size() + 2, matrix.cells().size());
    for (Cell cell : matrix.cells()) {
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
    StringBuilder catalog =
        new StringBuilder(
            """
            programs: [unprivileged.c, tenant.c, monitor.c, key-agent.c, gadgets.c]
            targets:
              - name: tenant
                title: Memory of another virtual machine
                setup: tenant --secret "$SECRET"
              - name: host-key
                title: A key of an agent in the host's kernel
                setup: key-agent --event kvm_exit --secret "$SECRET"
              - name: monitor
                title: Memory of the monitor that runs the attacker's machine
                setup: monitor --secret "$SECRET"
            attacks:
            """);
    List<Attack> attacks =
        AttackCatalog.shipped().choose(ALL ? List.of() : List.of("l1tf-guest"), Attack.From.GUEST);
    List<String> ways = ALL ? ways() : List.of("one");
    for (int i = 0; i < attacks.size(); i++) {
      for (String way : ways) {
        String target = attacks.get(i).targets().getFirst().name();
        catalog.append(renamed(attacks.get(i), way + "-" + i, target));
      }
    }
    LeakMatrix matrix = runRenamed(catalog.toString(), Attack.From.GUEST);
    assertEquals(attacks.size() * ways.size(), matrix.cells().size());
    matrix.cells().forEach(ShippedAttacksTest::assertLeaked);
  }

  private static List<String> ways() {
    return WAYS_TO_COMPILE.keySet().stream().sorted().toList();
  }

  /** An entry of a catalog: an attack that is shipped, under another name. */
  private String renamed(Attack attack, String name, String targets) throws IOException {
    Files.copy(folder.resolve(attack.program()), folder.resolve(name + ".c"));
    return """
      - name: %s
        from: %s
        title: Renamed
        description: For tests.
        vulnerability: That of %s.
        program: %s.c
        setup: |
    %s
        targets: [%s]
        bytes: 8
        budget-milliseconds: %d
        sources: [none]
    """
        .formatted(
            name,
            attack.from().name().toLowerCase(Locale.ROOT),
            attack.name(),
            name,
            (attack.setup().isEmpty() ? "true" : attack.setup()).strip().indent(6).stripTrailing(),
            targets,
            attack.budget() / 1_000_000);
  }

  private LeakMatrix runRenamed(String catalog, Attack.From from) {
    AttackCatalog renamed = AttackCatalog.parse(catalog, "test");
    AttackPreparation.AttackGuest guest =
        preparation(
                folder,
                program ->
                    WAYS_TO_COMPILE.getOrDefault(
                        program.substring(0, Math.max(0, program.indexOf('-'))), List.of()))
            .prepare(renamed, from, null, "");
    return run(guest, "skylake-server", renamed.attacks(), "none");
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
