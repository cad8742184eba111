package dev.ringfence.isolation.monitor;

import static dev.ringfence.isolation.monitor.SmallGuest.ANONYMOUS;
import static dev.ringfence.isolation.monitor.SmallGuest.CACHE;
import static dev.ringfence.isolation.monitor.SmallGuest.FRAME;
import static dev.ringfence.isolation.monitor.SmallGuest.SLAB;
import static dev.ringfence.isolation.monitor.SmallGuest.area;
import static dev.ringfence.isolation.monitor.SmallKernel.MM_A;
import static dev.ringfence.isolation.monitor.SmallKernel.MM_B;
import static dev.ringfence.isolation.monitor.SmallKernel.ROOT_A;
import static dev.ringfence.isolation.monitor.SmallKernel.ROOT_B;
import static dev.ringfence.isolation.monitor.SmallKernel.TASK_A;
import static dev.ringfence.isolation.monitor.SmallKernel.TASK_B;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.isolation.transition.ExitReason;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The guest of guest/isolation under policies. What its kernel touches is known step by step, so
 * all counts are worked out by hand, in the comments of each test. An auditor looks at every enter.
 */
class SmallGuestTest {
  @TempDir private static Path folder;

  private static Path image = Path.of("");
  private SmallGuest guest = start();

  @BeforeAll
  static void build() throws IOException, InterruptedException {
    image = SmallGuest.build(folder);
  }

  private static SmallGuest start() {
    SmallGuest fresh = new SmallGuest(image);
    fresh.kernel.set(FRAME, SLAB);
    fresh.kernel.set(FRAME + 1, CACHE);
    fresh.kernel.set(FRAME + 2, ANONYMOUS);
    return fresh;
  }

  private void restart() {
    guest.close();
    guest = start();
  }

  @AfterEach
  void close() {
    guest.close();
  }

  private static Policy staying(String... changes) {
    return HandMadePolicy.of("default: nonsensitive", changes);
  }

  /** All but code, tables and stack is sensitive, or what the slab is said to be. */
  private static Policy only(String disposition, String... changes) {
    return HandMadePolicy.of(
        "default: sensitive, rules: ["
            + "{kind: [text, cpu-entry-area, page-table], disposition: nonsensitive},"
            + "{kind: [slab, task-stack], disposition: "
            + disposition
            + "}]",
        changes);
  }

  /** Runs the steps under policies with an auditor; the counts of each. */
  private static List<String> counts(SmallGuest guest, Policy... policies) {
    IsolationMonitor monitor = guest.attach(policies);
    Auditor auditor = new Auditor(monitor);
    guest.run();
    boolean isolates = List.of(policies).stream().anyMatch(Policy::isolates);
    assertEquals(isolates, auditor.audits() > 0);
    return monitor.policies().stream().map(run -> run.counts().toString()).toList();
  }

  private void assertCounts(String expected, Policy policy) {
    assertEquals(List.of(expected), counts(guest, policy));
  }

  /** Seven entries and the one that ends the run: 2 loads of slab, 2 of page cache, 1 interrupt. */
  private static SmallGuest loads(SmallGuest guest) {
    return guest
        .nothing()
        .loadFrame(FRAME)
        .loadFrame(FRAME + 1)
        .loadFrame(FRAME)
        .loadFrame(FRAME + 1)
        .interruptUser(0)
        .nothing();
  }

  private static final Map<String, String> LOADS = new HashMap<>();

  static {
    LOADS.put("none", "kernel-entry 8");
    // Filled: code, slab, tables, stack. Both loads of the page cache exit.
    LOADS.put(
        "google-2025",
        "kernel-entry 8, enter-request 8, enter 3, relax 8, exit-fault 2, cr3-write-flushing 5, "
            + "ibpb 2, rsb-fill 2, fill-ahead 4");
    LOADS.put(
        "google-2025-mermap",
        "kernel-entry 8, enter-request 8, enter 1, relax 8, cr3-write-flushing 1, fill-ahead 4, "
            + "ephemeral-map 2");
    // All four loads exit. Filled: code, tables, the process's own stack.
    LOADS.put(
        "google-2022",
        "kernel-entry 8, enter-request 8, enter 5, relax 8, exit-fault 4, cr3-write-keeping 9, "
            + "fill-ahead 3");
    // The interrupt exits, too, so its tables and its stack are not filled.
    LOADS.put(
        "oracle-kvm",
        "kernel-entry 8, enter-request 8, enter 6, relax 8, exit-fault 4, exit-interrupt 1, "
            + "cr3-write-keeping 11, fill-explicit 1");
    // As google-2025, but it has no predictors to flush and keeps translations.
    LOADS.put(
        "hyperclear",
        "kernel-entry 8, enter-request 8, enter 3, relax 8, exit-fault 2, cr3-write-keeping 5, "
            + "fill-ahead 4");
    // Filled: the page cache, too.
    LOADS.put(
        "secret-hiding",
        "kernel-entry 8, enter-request 8, enter 1, relax 8, cr3-write-keeping 1, fill-ahead 5");
    // Filled: entry code and tables.
    LOADS.put(
        "kpti",
        "kernel-entry 8, enter-request 8, enter-at-return 8, relax 8, exit-entry 8, "
            + "cr3-write-keeping 16, fill-ahead 2");
  }

  @Test
  void everyBuiltInPolicyHasItsCountsAlone() {
    for (String name : Policy.builtIn()) {
      restart();
      loads(guest);
      assertCounts(LOADS.getOrDefault(name, "no expectation for " + name), Policy.load(name));
    }
  }

  @Test
  void policiesThatRunTogetherHaveTheSameCountsAsAlone() {
    List<String> names = Policy.builtIn();
    Policy[] policies = names.stream().map(Policy::load).toArray(Policy[]::new);
    loads(guest);
    assertEquals(names.stream().map(LOADS::get).toList(), counts(guest, policies));
  }

  /** Every step that there is, so that every part of the monitor has its chance to interfere. */
  private static SmallGuest everything(SmallGuest guest) {
    return loads(guest)
        .store(guest.kernel.directMap(FRAME), 77)
        .store(guest.kernel.directMap(FRAME + 2), 78)
        .map(0, FRAME, false)
        .load(area(0))
        .map(0, FRAME + 2, true)
        .load(area(0))
        .interruptKernel(guest.kernel.directMap(FRAME + 1))
        .switchTask(TASK_B, false)
        .switchAddressSpace(ROOT_B)
        .loadFrame(FRAME)
        .switchTask(TASK_A, true)
        .switchAddressSpace(ROOT_A)
        .free(FRAME, 1)
        .allocate(FRAME, 2, true)
        .loadFrame(FRAME)
        .map(0, 0, false)
        .dropTranslations()
        .forbiddenInterrupt()
        .nothing();
  }

  @Test
  void theGuestsResultIsTheSameUnderEveryPolicyAndWithNone() {
    everything(guest).run();
    String plain = guest.result();
    for (String name : Policy.builtIn()) {
      restart();
      everything(guest);
      counts(guest, Policy.load(name));
      assertEquals(plain, guest.result(), name);
    }
    restart();
    everything(guest);
    counts(guest, Policy.builtIn().stream().map(Policy::load).toArray(Policy[]::new));
    assertEquals(plain, guest.result(), "all of them");
    restart();
    everything(guest).store(guest.kernel.directMap(FRAME + 3), 1).run();
    assertNotEquals(plain, guest.result(), "the result does not show what the guest does");
  }

  @Test
  void everythingTogetherCountsAsAlone() {
    Policy[] policies = Policy.builtIn().stream().map(Policy::load).toArray(Policy[]::new);
    everything(guest);
    List<String> together = counts(guest, policies);
    for (int i = 0; i < policies.length; i++) {
      restart();
      everything(guest);
      assertEquals(List.of(together.get(i)), counts(guest, policies[i]), policies[i].name());
    }
  }

  /** Task, address space, the same again, address space back, task back: six entries. */
  private static SmallGuest switches(SmallGuest guest) {
    return guest
        .switchTask(TASK_B, false)
        .switchAddressSpace(ROOT_B)
        .switchAddressSpace(ROOT_B)
        .switchAddressSpace(ROOT_A)
        .switchTask(TASK_A, false);
  }

  @Test
  void switchesExitWhereThePolicySaysSo() {
    // Both switches of tasks exit, and both of address spaces; each exit flushes.
    switches(guest);
    assertCounts(
        "kernel-entry 6, enter-request 6, enter 5, relax 6, exit-context-switch 4, mm-switch 2, "
            + "cr3-write-flushing 9, ibpb 4, rsb-fill 4, fill-ahead 1",
        Policy.load("google-2025"));
  }

  @Test
  void switchesToAnotherProcessAloneExitWhereThePolicySaysSo() {
    switches(guest);
    assertCounts(
        "kernel-entry 6, enter-request 6, enter 3, relax 6, exit-context-switch 2, mm-switch 2, "
            + "cr3-write-keeping 5, fill-ahead 1",
        staying("on-context-switch", "exit-if-mm-changes"));
  }

  @Test
  void domainsChangeDirectlyWhereThePolicyStays() {
    switches(guest);
    assertCounts(
        "kernel-entry 6, enter-request 6, enter 3, domain-switch 2, relax 6, mm-switch 2, "
            + "cr3-write-keeping 3, fill-ahead 1",
        staying());
  }

  @Test
  void fillsAreCountedByTheWayOfFilling() {
    // Code, slab and page cache, each once.
    Map<String, String> ways =
        Map.of("eager", "fill-ahead", "on-demand", "fill-on-demand", "explicit", "fill-explicit");
    for (Map.Entry<String, String> way : ways.entrySet()) {
      restart();
      guest.loadFrame(FRAME).loadFrame(FRAME + 1).loadFrame(FRAME);
      assertCounts(
          "kernel-entry 4, enter-request 4, enter 1, relax 4, cr3-write-keeping 1, %s 3"
              .formatted(way.getValue()),
          staying("fill", way.getKey()));
    }
  }

  @Test
  void unrestrictedAccessesFillWhatCountsAsMappedAheadAlone() {
    // Code is filled at the first fetch. The anonymous page exits; what the handler of the
    // interrupt
    // then touches unrestricted is tables, stack and slab.
    guest.loadFrame(FRAME + 2).interruptKernel(guest.kernel.directMap(FRAME));
    String rules = "default: nonsensitive, rules: [{kind: task-stack, disposition: sensitive}]";
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 2, relax 3, exit-fault 1, cr3-write-keeping 3, "
            + "fill-ahead 4",
        HandMadePolicy.of(rules));
    restart();
    guest.loadFrame(FRAME + 2).interruptKernel(guest.kernel.directMap(FRAME));
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 2, relax 3, exit-fault 1, cr3-write-keeping 3, "
            + "fill-on-demand 3",
        HandMadePolicy.of(rules, "fill", "on-demand"));
  }

  @Test
  void aSecondAccessAfterAnExitDoesNotExitAgainInTheSameEntry() {
    // The interrupt in the kernel loads the page cache, whose exit lasts until the return.
    guest
        .interruptKernel(guest.kernel.directMap(FRAME + 1))
        .interruptKernel(guest.kernel.directMap(FRAME + 1));
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 3, relax 3, exit-fault 2, cr3-write-flushing 5, "
            + "ibpb 2, rsb-fill 2, fill-ahead 3",
        Policy.load("google-2025"));
  }

  @Test
  void interruptsOfTheKernelExitAndResumeWhereThePolicySaysSo() {
    // Each interrupt leaves and resumes. Its delivery comes before the handler can leave, so tables
    // and stack are copied, and code.
    guest.interruptKernel(0).interruptKernel(guest.kernel.directMap(FRAME + 1));
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 3, relax 3, exit-interrupt 2, "
            + "cr3-write-keeping 5, fill-explicit 3",
        Policy.load("oracle-kvm"));
  }

  @Test
  void anInterruptThatRaisesAnExceptionInsteadIsOneEntry() {
    // Filled: tables, stack, code.
    guest.forbiddenInterrupt();
    assertCounts(
        "kernel-entry 2, enter-request 2, enter 1, relax 2, cr3-write-keeping 1, fill-ahead 3",
        staying());
  }

  @Test
  void localPagesAreMappedForTheirProcessAlone() {
    // In A: filled once. In B: each load exits. In A again: still mapped.
    guest.kernel.set(FRAME, new Provenance(PageKind.SLAB, "filp", MM_A, false));
    guest
        .loadFrame(FRAME)
        .loadFrame(FRAME)
        .switchAddressSpace(ROOT_B)
        .loadFrame(FRAME)
        .loadFrame(FRAME)
        .switchAddressSpace(ROOT_A)
        .loadFrame(FRAME);
    // Enters: the first, B, after each exit, A.
    assertCounts(
        "kernel-entry 8, enter-request 8, enter 5, domain-switch 2, relax 8, exit-fault 2, "
            + "mm-switch 2, cr3-write-keeping 7, fill-on-demand 2",
        only("local", "fill", "on-demand"));
  }

  @Test
  void localPagesWithoutAnOwnerAreMappedForNobody() {
    guest.loadFrame(FRAME).loadFrame(FRAME);
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 3, relax 3, exit-fault 2, cr3-write-keeping 5, "
            + "fill-ahead 1",
        only("local"));
  }

  @Test
  void whatOneProcessFilledIsThereForTheOthers() {
    guest.loadFrame(FRAME).switchAddressSpace(ROOT_B).loadFrame(FRAME).loadFrame(FRAME + 3);
    guest.switchAddressSpace(ROOT_A).loadFrame(FRAME + 3);
    // Code, slab, and the page that B loads first.
    assertCounts(
        "kernel-entry 7, enter-request 7, enter 3, domain-switch 2, relax 7, mm-switch 2, "
            + "cr3-write-keeping 3, fill-on-demand 3",
        staying("fill", "on-demand"));
  }

  @Test
  void aStoreToWhatIsMappedForLoadsFillsNothing() {
    guest.loadFrame(FRAME).store(guest.kernel.directMap(FRAME), 5).loadFrame(FRAME);
    assertCounts(
        "kernel-entry 4, enter-request 4, enter 1, relax 4, cr3-write-keeping 1, fill-ahead 2",
        staying());
    assertEquals(5, guest.machine.memory().readLong(FRAME << 12));
  }

  @Test
  void aMappingThatTheGuestChangesIsTakenOutAtItsInvalidation() {
    // Filled: code, page table, the area's page; after the change the area's page again. INVLPG
    // without a change takes nothing out.
    guest.map(0, FRAME, false).load(area(0)).map(0, FRAME + 1, true).load(area(0));
    guest.map(0, FRAME + 1, true).load(area(0));
    assertCounts(
        "kernel-entry 7, enter-request 7, enter 1, relax 7, cr3-write-keeping 1, fill-ahead 4",
        staying());
  }

  @Test
  void aMappingThatTheGuestChangesToASensitivePageExits() {
    guest.map(0, FRAME, false).load(area(0)).map(0, FRAME + 1, true).load(area(0));
    // Filled: code, page table, the area's page once.
    assertCounts(
        "kernel-entry 5, enter-request 5, enter 2, relax 5, exit-fault 1, cr3-write-flushing 3, "
            + "ibpb 1, rsb-fill 1, fill-ahead 3",
        Policy.load("google-2025"));
  }

  @Test
  void removalsByTheGuestAreCountedApart() {
    guest.map(0, FRAME, false).load(area(0)).map(0, FRAME + 3, true).map(0, 0, true).nothing();
    IsolationMonitor monitor = guest.attach(staying());
    Auditor auditor = new Auditor(monitor);
    guest.run();
    PolicyRun run = monitor.policies().getFirst();
    assertEquals(1, run.guestUnmaps());
    assertEquals(0, run.tables().globalEntry(area(0)));
    assertEquals(0, run.staleAccesses());
    assertEquals(6, auditor.audits());
  }

  @Test
  void droppingAllTranslationsTakesOutWhatTheGuestChanged() {
    // The change and the flush are two steps, between which a look at the tables would find the
    // old mapping: no auditor here.
    guest.map(0, FRAME, false).map(1, FRAME + 3, false).load(area(0)).load(area(1));
    guest.map(0, FRAME + 1, false).dropTranslations();
    IsolationMonitor monitor = guest.attach(staying());
    guest.run();
    PolicyRun run = monitor.policies().getFirst();
    assertEquals(1, run.guestUnmaps());
    assertEquals(0, run.tables().globalEntry(area(0)));
    assertNotEquals(0, run.tables().globalEntry(area(1)));
  }

  @Test
  void freedPagesAreUnmappedAndFilledAgain() {
    // Freed while mapped: one removal, one shootdown. Allocated for the kernel: filled again. Freed
    // again. Allocated for a user: an exit.
    guest
        .loadFrame(FRAME)
        .free(FRAME, 1)
        .allocate(FRAME, 1, false)
        .loadFrame(FRAME)
        .free(FRAME, 1)
        .allocate(FRAME, 1, true)
        .loadFrame(FRAME);
    assertCounts(
        "kernel-entry 8, enter-request 8, enter 2, relax 8, exit-fault 1, cr3-write-flushing 3, "
            + "ibpb 1, rsb-fill 1, fill-ahead 3, unmap 2, shootdown 2",
        Policy.load("google-2025"));
  }

  @Test
  void aFreedPageIsNoLongerReachedByATranslation() {
    guest.loadFrame(FRAME).free(FRAME, 1).loadFrame(FRAME);
    assertCounts(
        "kernel-entry 4, enter-request 4, enter 2, relax 4, exit-fault 1, cr3-write-flushing 3, "
            + "ibpb 1, rsb-fill 1, fill-ahead 2, unmap 1, shootdown 1",
        Policy.load("google-2025"));
  }

  @Test
  void pagesThatAreFreedTogetherNeedOneShootdown() {
    // Two of the three pages are mapped, and one of them at two addresses.
    guest.kernel.set(FRAME + 1, SLAB);
    guest
        .map(0, FRAME, false)
        .load(area(0))
        .loadFrame(FRAME)
        .loadFrame(FRAME + 1)
        .free(FRAME, 3)
        .free(FRAME, 3);
    assertCounts(
        "kernel-entry 7, enter-request 7, enter 1, relax 7, cr3-write-flushing 1, fill-ahead 5, "
            + "unmap 3, shootdown 1",
        Policy.load("google-2025"));
  }

  @Test
  void freedPagesAreUnmappedWhateverTheMappingSaysOfThem() {
    guest.loadFrame(FRAME).free(FRAME, 1).loadFrame(FRAME);
    assertCounts(
        "kernel-entry 4, enter-request 4, enter 1, relax 4, cr3-write-keeping 1, fill-ahead 3, "
            + "unmap 1, shootdown 1",
        staying("free-pages", "sensitive"));
  }

  @Test
  void anAddressThatShowsAnotherPageByNowStaysWhenTheFirstIsFreed() {
    // Filled: code, page table, the area's page twice. The freed page is mapped nowhere.
    guest
        .map(0, FRAME, false)
        .load(area(0))
        .map(0, FRAME + 3, true)
        .load(area(0))
        .free(FRAME, 1)
        .load(area(0));
    assertCounts(
        "kernel-entry 7, enter-request 7, enter 1, relax 7, cr3-write-keeping 1, fill-ahead 4",
        staying("free-pages", "sensitive"));
  }

  @Test
  void aLocalMappingThatDidNotChangeStaysAtItsInvalidation() {
    // Filled: code, page table, the area's page once.
    guest.kernel.set(FRAME, new Provenance(PageKind.SLAB, "filp", MM_A, false));
    guest.map(0, FRAME, false).load(area(0)).map(0, FRAME, true).load(area(0));
    assertCounts(
        "kernel-entry 5, enter-request 5, enter 1, relax 5, cr3-write-keeping 1, fill-ahead 3",
        only("local"));
  }

  @Test
  void pagesThatAreKeptGoWhenTheyAreGivenToAUser() {
    guest.loadFrame(FRAME).free(FRAME, 1).allocate(FRAME, 1, false).loadFrame(FRAME);
    guest.free(FRAME, 1).allocate(FRAME, 1, true).loadFrame(FRAME);
    assertCounts(
        "kernel-entry 8, enter-request 8, enter 2, relax 8, exit-fault 1, cr3-write-keeping 3, "
            + "fill-ahead 2, unmap 1, shootdown 1",
        HandMadePolicy.of(
            "default: nonsensitive, rules: [{user-allocation: true, disposition: sensitive}]"));
  }

  @Test
  void aPageThatTurnsOutToBeSensitiveAfterItsAllocationGoesAtTheNextEnter() {
    guest.allocate(FRAME, 1, false).loadFrame(FRAME);
    IsolationMonitor monitor = guest.attach(Policy.load("google-2025"));
    Auditor auditor = new Auditor(monitor);
    guest.run();
    guest.kernel.set(FRAME, CACHE);
    guest.loadFrame(FRAME).run();
    assertEquals(
        "kernel-entry 5, enter-request 5, enter 2, relax 5, exit-fault 1, cr3-write-flushing 3, "
            + "ibpb 1, rsb-fill 1, fill-ahead 2, unmap 1, shootdown 1",
        monitor.policies().getFirst().counts().toString());
    assertEquals(5, auditor.audits());
  }

  @Test
  void anEphemeralMappingIsMadeOncePerEntry() {
    // Handler and caller touch different pages; each entry maps anew.
    guest
        .loadFrame(FRAME + 1)
        .loadFrame(FRAME + 1)
        .interruptKernel(guest.kernel.directMap(FRAME + 1));
    assertCounts(
        "kernel-entry 4, enter-request 4, enter 1, relax 4, cr3-write-flushing 1, fill-ahead 3, "
            + "ephemeral-map 3",
        Policy.load("google-2025-mermap"));
  }

  @Test
  void anEphemeralMappingIsGoneBeforeUserCodeRuns() {
    guest.loadFrame(FRAME + 1).nothing();
    IsolationMonitor monitor = guest.attach(Policy.load("google-2025-mermap"));
    guest.run();
    PolicyRun run = monitor.policies().getFirst();
    for (long root : run.tables().roots()) {
      assertEquals(0, run.tables().entry(root, guest.kernel.directMap(FRAME + 1)));
    }
  }

  @Test
  void theStackOfATaskThatEndedIsTakenFromItsProcess() {
    // The interrupt fills tables and stack, the stack for A alone. When the task ends it is gone.
    guest.interruptUser(0).switchTask(TASK_B, true);
    assertCounts(
        "kernel-entry 3, enter-request 3, enter 1, relax 3, cr3-write-keeping 1, "
            + "fill-ahead 3, unmap 1, shootdown 1",
        only("local"));
  }

  @Test
  void theProcesssOwnMemoryExitsWhereThePolicyUnmapsIt() {
    // Code is filled. User code reads the same page in between, which is nobody's business.
    guest.load(SmallGuest.USER).load(SmallGuest.USER).nothing();
    assertEquals(
        List.of(
            "kernel-entry 4, enter-request 4, enter 3, relax 4, exit-fault 2, "
                + "cr3-write-keeping 5, fill-ahead 1",
            "kernel-entry 4, enter-request 4, enter 1, relax 4, cr3-write-keeping 1, "
                + "fill-ahead 1"),
        counts(guest, staying("own-user-memory", "unmapped"), staying()));
  }

  @Test
  void flushesDependOnTheProcessor() {
    // Enters that flush data: all, for each comes after the kernel ran unrestricted.
    guest.loadFrame(FRAME + 1).nothing().loadFrame(FRAME + 1);
    IsolationMonitor monitor = guest.attach(Set.of(Vulnerability.L1TF), Policy.load("google-2025"));
    guest.run();
    assertEquals(
        "kernel-entry 4, enter-request 4, enter 3, relax 4, exit-fault 2, cr3-write-flushing 5, "
            + "ibpb 2, rsb-fill 2, l1d-flush 3, fill-ahead 1",
        monitor.policies().getFirst().counts().toString());
  }

  @Test
  void exitsAreLoggedByWhatCausedThem() {
    guest.loadFrame(FRAME + 1).loadFrame(FRAME + 1).store(guest.kernel.directMap(FRAME + 2), 1);
    guest.switchTask(TASK_B, false);
    IsolationMonitor monitor = guest.attach(Policy.load("google-2025"));
    guest.run();
    Map<String, String> logged = new TreeMap<>();
    for (ExitLog.Entry entry : monitor.policies().getFirst().exits().entries()) {
      ExitLog.Key key = entry.key();
      logged.put(
          "%s %s by %s%s"
              .formatted(
                  key.way(),
                  key.datum() == null ? "nothing" : key.datum().text(),
                  EntryReason.text(key.reason(), guest.kernel::systemCall),
                  key.write() ? ", store" : ""),
          "%d, %d alone, %x"
              .formatted(entry.tally().count(), entry.tally().alone(), entry.tally().address()));
    }
    assertEquals(
        Map.of(
            ExitReason.FAULT + " page-cache file by system call 2",
            "2, 2 alone, ffff888000801000",
            ExitReason.FAULT + " anonymous by system call 3, store",
            "1, 1 alone, ffff888000802000",
            ExitReason.CONTEXT_SWITCH + " nothing by system call 7",
            "1, 0 alone, 0"),
        logged);
  }

  @Test
  void entriesAreCountedByReason() {
    guest.nothing().nothing().interruptUser(0).forbiddenInterrupt();
    IsolationMonitor monitor = guest.attach(staying());
    guest.run();
    Map<String, Long> entries = new TreeMap<>();
    monitor
        .entries()
        .forEach((reason, count) ->
            entries.put(EntryReason.text(reason, guest.kernel::systemCall), count));
    assertEquals(
        Map.of(
            "system call 0", 1L,
            "system call 1", 2L,
            "software interrupt 128", 1L,
            "exception general protection", 1L),
        entries);
  }

  @Test
  void aProcessWhoseTablesAreFreedLosesItsDomain() {
    // The tables of B go and come back as those of B once more: its local page is not there.
    guest.kernel.set(FRAME, new Provenance(PageKind.SLAB, "filp", MM_B, false));
    guest
        .switchAddressSpace(ROOT_B)
        .loadFrame(FRAME)
        .switchAddressSpace(ROOT_A)
        .free(ROOT_B >>> 12, 1)
        .switchAddressSpace(ROOT_B)
        .loadFrame(FRAME);
    IsolationMonitor monitor = guest.attach(only("local", "fill", "on-demand"));
    Auditor auditor = new Auditor(monitor);
    guest.run();
    // Code, B's page, B's page again.
    assertEquals(
        "kernel-entry 7, enter-request 7, enter 4, domain-switch 3, relax 7, mm-switch 3, "
            + "cr3-write-keeping 4, fill-on-demand 3",
        monitor.policies().getFirst().counts().toString());
    assertEquals(2, monitor.policies().getFirst().tables().roots().size());
    assertEquals(7, auditor.audits());
  }

  @Test
  void afterTheMonitorIsGoneTheGuestGoesOn() {
    everything(guest).run();
    guest.nothing().run();
    String plain = guest.result();
    restart();
    everything(guest);
    try (IsolationMonitor monitor =
        new IsolationMonitor(
            guest.machine, guest.kernel, List.of(Policy.load("google-2025")), Set.of())) {
      guest.run();
      assertEquals(1, monitor.policies().size());
    }
    guest.nothing().run();
    assertEquals(plain, guest.result());
  }
}
