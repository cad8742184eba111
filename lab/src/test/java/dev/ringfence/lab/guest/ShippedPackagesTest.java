package dev.ringfence.lab.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.workload.Workload;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What apt says about the packages of the shipped workloads. */
@Tag("slow")
final class ShippedPackagesTest {
  @TempDir private Path folder;

  @Test
  void aptKnowsAllOfThemAndNoOthers() throws Exception {
    Apt apt = new Apt(new GuestCache(folder), line -> {});
    Set<String> names = new TreeSet<>();
    for (String workload : Workload.builtIn()) {
      Workload.load(workload).packages().forEach(reference -> names.add(reference.name()));
    }
    assertTrue(apt.closure(List.copyOf(names)).containsAll(names));
    assertTrue(apt.names().containsAll(names));
    UnknownPackageException unknown =
        assertThrows(
            UnknownPackageException.class, () -> apt.closure(List.of("dash", "redis-sever")));
    assertEquals("redis-sever", unknown.packageName());
    assertTrue(unknown.hint().startsWith("; nearest: redis-server"), unknown.hint());
  }
}
