package dev.ringfence.isolation.monitor;

import static dev.ringfence.isolation.monitor.SmallGuest.ANONYMOUS;
import static dev.ringfence.isolation.monitor.SmallGuest.CACHE;
import static dev.ringfence.isolation.monitor.SmallGuest.FRAME;
import static dev.ringfence.isolation.monitor.SmallGuest.SLAB;
import static dev.ringfence.isolation.monitor.SmallGuest.area;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The auditor is silent while all is in order (SmallGuestTest), and speaks up when it is not. */
class AuditorTest {
  @TempDir private static Path folder;

  private static Path image = Path.of("");
  private SmallGuest guest = new SmallGuest(image);
  private IsolationMonitor monitor = guest.attach(Policy.load("google-2025"));
  private Auditor auditor = new Auditor(monitor);

  @BeforeAll
  static void build() throws IOException, InterruptedException {
    image = SmallGuest.build(folder);
  }

  /** The guest has loaded a page of slab. */
  @BeforeEach
  void begin() {
    guest.kernel.set(FRAME, SLAB);
    guest.kernel.set(FRAME + 1, CACHE);
    guest.loadFrame(FRAME).run();
  }

  @AfterEach
  void close() {
    guest.close();
  }

  private PolicyRun run() {
    return monitor.policies().getFirst();
  }

  private long direct(long frame) {
    return guest.kernel.directMap(frame);
  }

  private static long leaf(long frame, long more) {
    return frame << 12 | RestrictedTables.PRESENT | RestrictedTables.ACCESSED_DIRTY | more;
  }

  private void expectViolation(String... parts) {
    guest.nothing();
    String message = assertThrows(IsolationViolationException.class, guest::run).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }

  @Test
  void oneAuditPerEnterLooksAtEveryLeafThatIsMapped() {
    // Enters: at attaching, after the load; then two more. Leaves: none, code and slab, the same
    // again twice.
    assertEquals(2, auditor.audits());
    assertEquals(2, auditor.leaves());
    guest.nothing().run();
    assertEquals(4, auditor.audits());
    assertEquals(6, auditor.leaves());
    assertTrue(auditor.translations() > 0);
  }

  @Test
  void aSensitivePageThatIsSlippedIntoTheTablesIsFound() {
    run().tables().mapGlobal(direct(FRAME + 1), leaf(FRAME + 1, RestrictedTables.WRITABLE));
    expectViolation("google-2025", "ffff888000801000", "the policy says sensitive", "PAGE_CACHE");
  }

  @Test
  void aSensitivePageThatIsSlippedIntoOneDomainIsFound() {
    long root = run().tables().roots().getFirst();
    run().tables().mapLocal(root, direct(FRAME + 1), leaf(FRAME + 1, RestrictedTables.WRITABLE));
    expectViolation("ffff888000801000", "the policy says sensitive");
  }

  @Test
  void aPageWhoseUseChangedWithoutNoticeIsFound() {
    guest.kernel.set(FRAME, ANONYMOUS);
    expectViolation("ffff888000800000", "the policy says sensitive", "ANONYMOUS");
  }

  @Test
  void aFreePageThatThePolicyKeepsIsNoViolation() {
    guest.close();
    guest = new SmallGuest(image);
    Provenance tasks = new Provenance(PageKind.SLAB, "task_struct", 0, false);
    guest.kernel.set(FRAME, tasks);
    monitor = guest.attach(Policy.load("oracle-kvm"));
    auditor = new Auditor(monitor);
    guest.loadFrame(FRAME).free(FRAME, 1).nothing().run();
    assertEquals(4, auditor.audits());
    assertTrue(run().mapsDirectly(FRAME));
    guest.kernel.set(FRAME, ANONYMOUS);
    expectViolation("ffff888000800000", "the policy says sensitive");
  }

  @Test
  void anotherUseThatThePolicyAllowsIsNoViolation() {
    guest.kernel.set(FRAME, new Provenance(PageKind.VMALLOC, "area", 0, false));
    guest.nothing().run();
    assertEquals(4, auditor.audits());
  }

  @Test
  void aLeafThatShowsAnotherFrameThanTheKernelsIsFound() {
    run().tables().mapGlobal(direct(FRAME), leaf(FRAME + 3, RestrictedTables.WRITABLE));
    expectViolation("ffff888000800000", "the kernel's tables map the address as");
  }

  @Test
  void aLeafThatPermitsMoreThanTheKernelsIsFound() {
    // The kernel's own entry becomes read-only; the restricted one stays writable.
    guest.map(0, FRAME, false).load(area(0)).run();
    guest.machine.memory().writeLong(SmallKernel.AREA_TABLE, FRAME << 12 | 0x61);
    expectViolation(Long.toHexString(area(0)), "the kernel's tables map the address as 800061");
  }

  @Test
  void aMappingThatTheKernelHasNotFlushedYetIsCounted() {
    guest.map(0, FRAME, false).load(area(0)).run();
    guest.machine.memory().writeLong(SmallKernel.AREA_TABLE, 0);
    guest.nothing().run();
    assertTrue(auditor.unflushed() > 0);
  }

  @Test
  void aMappingThatIsNotFlushedIsFoundOnceItsPageIsSensitive() {
    guest.map(0, FRAME, false).load(area(0)).run();
    guest.machine.memory().writeLong(SmallKernel.AREA_TABLE, 0);
    guest.kernel.set(FRAME, ANONYMOUS);
    expectViolation("the policy says sensitive", "ANONYMOUS");
  }

  @Test
  void aTranslationWithoutALeafIsFound() {
    run().tables().unmap(direct(FRAME));
    expectViolation("ffff888000800000", "the TLB holds a translation that the tables do not map");
  }

  @Test
  void anotherProcessesLocalPageIsFound() {
    guest.close();
    guest = new SmallGuest(image);
    monitor =
        guest.attach(
            HandMadePolicy.of("default: nonsensitive, rules: [{kind: slab, disposition: local}]"));
    auditor = new Auditor(monitor);
    guest.kernel.set(FRAME, new Provenance(PageKind.SLAB, "", SmallKernel.MM_A, false));
    guest.loadFrame(FRAME).run();
    assertEquals(2, auditor.audits());
    guest.kernel.set(FRAME, new Provenance(PageKind.SLAB, "", SmallKernel.MM_B, false));
    expectViolation("ffff888000800000", "the policy says local");
  }

  @Test
  void theMessageTellsWhatHappenedToThePage() {
    guest.free(FRAME + 1, 1).allocate(FRAME + 1, 1, false).loadFrame(FRAME + 1).run();
    guest.kernel.set(FRAME + 1, SLAB);
    guest.nothing().run();
    guest.kernel.set(FRAME + 1, ANONYMOUS);
    expectViolation("ANONYMOUS", "history: ", "marked slab at", "allocated at", "freed at");
  }
}
