package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.cost.TransitionCounts;
import dev.ringfence.isolation.policy.Behaviour;
import dev.ringfence.isolation.policy.Behaviour.OwnUserMemory;
import dev.ringfence.isolation.policy.CompiledMapping;
import dev.ringfence.isolation.policy.Disposition;
import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.isolation.transition.DomainState;
import dev.ringfence.isolation.transition.ExitReason;
import dev.ringfence.isolation.transition.TaskState;
import dev.ringfence.isolation.transition.TransitionListener;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Microarchitecture;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.MonitorMemory;
import dev.ringfence.machine.paging.PageWalker;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One policy at work: its restricted tables, the state of each processor under it, its counts.
 * Several of them see the same guest at once, and none sees the others.
 */
public final class PolicyRun {
  /** The bits of a leaf that must equal those of the guest's tables. */
  static final long COMPARED =
      RestrictedTables.ADDRESS
          | RestrictedTables.PRESENT
          | RestrictedTables.WRITABLE
          | RestrictedTables.NO_EXECUTE;

  /** A cause of an exit that no disposition of a page kind decides about, among bits of kinds. */
  private static final long ANOTHER_REASON = 1L << 63;

  /** PCIDs from here on are the monitor's; Linux uses the first few (TLB_NR_DYN_ASIDS). */
  private static final int FIRST_PCID = 0x100;

  private static final int PCIDS = 0xe00;

  private static final int USER_PRIVILEGE = 3;

  private final Policy policy;
  private final Behaviour behaviour;
  private final CompiledMapping mapping;
  private final KernelView kernel;
  private final MonitorMemory memory;
  private final RestrictedTables tables;
  private final Map<Long, RestrictedSpace> spaces = new HashMap<>();

  /** Those of virtual machines, by the address space of the process that runs them. */
  private final Map<Long, RestrictedSpace> machineSpaces = new HashMap<>();

  private final Map<Domain, RestrictedSpace> byDomain = new HashMap<>();
  private final List<ProcessorSide> processors = new ArrayList<>();
  private final EventCounts counts = new EventCounts();
  private final ExitLog exits = new ExitLog();
  private final Event fillEvent;
  private long staleAccesses;
  private long guestUnmaps;

  private final Map<Long, Disposition> pageDispositions = new HashMap<>();

  /** Frames that the direct map shows in some restricted table. */
  private final BitSet directlyMapped = new BitSet();

  /** Addresses other than those of the direct map at which restricted tables map a frame. */
  private final Map<Long, List<Long>> aliases = new HashMap<>();

  private int nextPcid;

  PolicyRun(
      Policy policy,
      KernelView kernel,
      MonitorMemory memory,
      List<Processor> machineProcessors,
      List<MachineRound> rounds,
      Set<Vulnerability> vulnerabilities,
      boolean leads) {
    this.policy = policy;
    this.behaviour = policy.behaviour();
    this.mapping = policy.compile();
    this.fillEvent =
        switch (behaviour.fill()) {
          case EAGER -> Event.FILL_AHEAD;
          case ON_DEMAND -> Event.FILL_ON_DEMAND;
          case EXPLICIT -> Event.FILL_EXPLICIT;
        };
    this.kernel = kernel;
    this.memory = memory;
    this.tables = new RestrictedTables(memory);
    for (Processor processor : machineProcessors) {
      processors.add(
          new ProcessorSide(processor, vulnerabilities, leads, rounds.get(processor.index())));
    }
  }

  /** One processor under this policy; carries out what the state machine decides. */
  private final class ProcessorSide implements TransitionListener {
    final DomainState state;
    final PageWalker walker;
    final KnownWalks known;
    final TransitionCounts counting = new TransitionCounts(policy, counts);

    private final Processor processor;

    /** Whether this policy acts on the processor; otherwise operations are only counted. */
    private final boolean leads;

    /** The latest exit by a fault, as long as the processor is unrestricted because of it. */
    ExitLog.@Nullable Tally latest;

    /** What called for that exit since: bits of page kinds, and {@link #ANOTHER_REASON}. */
    long reasons;

    /** Of the task that runs. */
    MachineRound round;

    /** Why it was left last. */
    ExitReason latestReason = ExitReason.OTHER;

    /** Space of the address space that CR3 names; null until it is entered first. */
    @Nullable RestrictedSpace space;

    ProcessorSide(
        Processor processor,
        Set<Vulnerability> vulnerabilities,
        boolean leads,
        MachineRound round) {
      this.round = round;
      this.state = new DomainState(policy, vulnerabilities, this);
      this.walker = new PageWalker(memory, processor.model().physicalAddressBits());
      this.known = new KnownWalks(memory);
      this.processor = processor;
      this.leads = leads;
    }

    /** Takes operations; that of the processor may change while the monitor is attached. */
    private Microarchitecture silicon() {
      return leads ? processor.microarchitecture() : Microarchitecture.NONE;
    }

    @Override
    public void entered(Domain domain, @Nullable Domain previous) {
      counting.entered(domain, previous);
    }

    @Override
    public void exited(Domain domain, ExitReason reason) {
      latestReason = reason;
      counting.exited(domain, reason);
      round.left();
    }

    @Override
    public void relaxed(@Nullable Domain current) {
      counting.relaxed(current);
    }

    @Override
    public void cr3Written(@Nullable Domain domain, boolean keepTranslations) {
      counting.cr3Written(domain, keepTranslations);
      RestrictedSpace entered = domain == null ? null : byDomain.get(domain);
      if (entered != null) {
        silicon().writeRoot(entered.root, entered.pcid, keepTranslations);
      } else if (space != null) {
        silicon().writeRoot(space.guestRoot, 0, keepTranslations);
      }
    }

    @Override
    public void controlFlush(Set<HardwareOperation> operations) {
      counting.controlFlush(operations);
      flush(operations);
    }

    @Override
    public void dataFlush(Set<HardwareOperation> operations) {
      counting.dataFlush(operations);
      flush(operations);
    }

    private void flush(Set<HardwareOperation> operations) {
      for (HardwareOperation operation : operations) {
        switch (operation) {
          case CR3_WRITE -> {
            // Reported by cr3Written.
          }
          case IBPB -> silicon().barrierIndirectBranchPredictions();
          case RSB_FILL -> silicon().fillReturnStack();
          case L1D_FLUSH -> silicon().flushL1Data();
          case VERW -> silicon().clearBuffers();
        }
      }
    }
  }

  public Policy policy() {
    return policy;
  }

  /** Counts since the monitor was attached. */
  public EventCounts counts() {
    return counts;
  }

  /** Exits by cause, in the region of interest. */
  public ExitLog exits() {
    return exits;
  }

  /** Whether the direct map shows a frame in some restricted table. */
  public boolean mapsDirectly(long frame) {
    return directlyMapped.get((int) frame);
  }

  /** The tables, for accounts of what they hold. */
  public RestrictedTables tables() {
    return tables;
  }

  /**
   * Accesses by stale translations of the guest's TLB, which restricted tables do not take over.
   */
  public long staleAccesses() {
    return staleAccesses;
  }

  /** Pages taken out because the guest's own mapping changed. */
  public long guestUnmaps() {
    return guestUnmaps;
  }

  boolean restricted(int processor) {
    return processors.get(processor).state.isRestricted();
  }

  /** Root of the tables that a processor runs on, 0 if it is unrestricted. */
  long currentRoot(int processor) {
    ProcessorSide side = processors.get(processor);
    return side.state.isRestricted() && side.space != null ? side.space.root : 0;
  }

  /** The domain that a processor runs in or ran in last, null if there is none. */
  @Nullable Domain currentDomain(int processor) {
    RestrictedSpace space = processors.get(processor).space;
    return space == null ? null : space.domain;
  }

  /** Process of that domain, 0 if there is none. */
  long currentMm(int processor) {
    Domain domain = currentDomain(processor);
    return domain == null ? 0 : domain.mm();
  }

  DomainState state(int processor) {
    return processors.get(processor).state;
  }

  private RestrictedSpace spaceOf(long guestRoot) {
    return spaceOf(guestRoot, DomainClass.USERSPACE);
  }

  private RestrictedSpace spaceOf(long guestRoot, DomainClass domainClass) {
    Map<Long, RestrictedSpace> ofClass = domainClass == DomainClass.KVM ? machineSpaces : spaces;
    RestrictedSpace space = ofClass.get(guestRoot);
    if (space == null) {
      long mm = kernel.mm(guestRoot);
      // An address space whose process is not known is named by its tables.
      Domain domain = new Domain(mm != 0 ? mm : guestRoot, domainClass);
      space =
          new RestrictedSpace(
              domain, guestRoot, tables.createRoot(), FIRST_PCID + nextPcid++ % PCIDS);
      ofClass.put(guestRoot, space);
      byDomain.put(domain, space);
    }
    return space;
  }

  /** The processor returns to user mode in an address space of the guest. */
  void enter(int processor, long guestRoot) {
    ProcessorSide side = processors.get(processor);
    if (policy.isolates()) {
      enter(side, guestRoot, DomainClass.USERSPACE);
    }
    side.round.returned();
    side.counting.attributeTo(side.round.account());
  }

  /** The processor enters a virtual machine of the process that an address space belongs to. */
  void enterMachine(int processor, long guestRoot) {
    ProcessorSide side = processors.get(processor);
    if (policy.isolates(DomainClass.KVM)) {
      enter(side, guestRoot, DomainClass.KVM);
    } else {
      countHandled(side);
    }
    side.round.end();
    side.counting.attributeTo(null);
  }

  /** The processor has left a virtual machine. */
  void machineLeft(int processor, MachineExits.UnderPolicy tally) {
    ProcessorSide side = processors.get(processor);
    side.round.begin(tally, side.state.isRestricted());
    side.counting.attributeTo(side.round.account());
    side.counting.count(Event.VM_EXIT);
    side.state.machineLeft();
  }

  private void enter(ProcessorSide side, long guestRoot, DomainClass domainClass) {
    countHandled(side);
    side.counting.count(Event.ENTER_REQUEST);
    RestrictedSpace space = side.space;
    if (space == null
        || space.guestRoot != guestRoot
        || space.domain.domainClass() != domainClass) {
      space = spaceOf(guestRoot, domainClass);
      side.space = space;
    }
    judgeLatestExit(side);
    dropEphemeral(space);
    tables.shareLowerHalf(space.root, guestRoot);
    side.state.enter(space.domain);
  }

  /** The kernel has done its part of a VM exit, if it was at one. */
  private static void countHandled(ProcessorSide side) {
    if (side.round.handled()) {
      side.counting.count(Event.VM_EXIT_RESTRICTED);
    }
  }

  private static void judgeLatestExit(ProcessorSide side) {
    if (side.latest != null) {
      if (Long.bitCount(side.reasons) == 1) {
        side.latest.alone++;
      }
      side.latest = null;
    }
    side.reasons = 0;
  }

  private void dropEphemeral(RestrictedSpace space) {
    while (space.ephemeralCount() > 0) {
      unmapEphemeral(space);
    }
  }

  private void unmapEphemeral(RestrictedSpace space) {
    long page = space.removeOldestEphemeral();
    long frame = PageAddress.frame(tables.entry(space.root, page) & RestrictedTables.ADDRESS);
    tables.unmap(page);
    if (kernel.directMap(frame) == page) {
      directlyMapped.clear((int) frame);
    }
  }

  /** Another address space of the guest is loaded. */
  void addressSpaceChanged(Touch touch, int reason, long guestRoot) {
    int processor = touch.processor.index();
    counts.increment(Event.MM_SWITCH);
    if (!policy.isolates()) {
      return;
    }
    ProcessorSide side = processors.get(processor);
    Domain next = kernel.mm(guestRoot) == 0 ? null : spaceOf(guestRoot).domain;
    boolean before = side.state.isRestricted();
    side.state.switchMm(next);
    if (before && !side.state.isRestricted()) {
      logExit(touch, ExitReason.CONTEXT_SWITCH, reason);
    } else if (behaviour.onContextSwitch() != Behaviour.OnContextSwitch.STAY) {
      side.reasons |= ANOTHER_REASON;
    }
    if (next != null) {
      side.space = spaceOf(guestRoot);
    }
  }

  private void logExit(Touch touch, ExitReason way, int reason) {
    // At the entry from user mode there is no stack yet.
    int stack = way == ExitReason.CONTEXT_SWITCH ? touch.stackNow() : touch.noStack();
    exits.add(new ExitLog.Key(way, stack, null, reason, false), 0, null, now(touch));
  }

  private static long now(Touch touch) {
    return touch.processor.clock().now();
  }

  /** Calls a step of the state machine that may leave the restricted address space. */
  void stepThatMayExit(Touch touch, int reason, Step step) {
    ProcessorSide side = processors.get(touch.processor.index());
    DomainState state = side.state;
    boolean before = state.isRestricted();
    step.on(state);
    if (before && !state.isRestricted()) {
      logExit(touch, side.latestReason, reason);
    }
  }

  /** Another task gets the processor. */
  void taskSwitched(Touch touch, int reason, TaskState next, MachineRound round) {
    ProcessorSide side = processors.get(touch.processor.index());
    if (behaviour.onContextSwitch() == Behaviour.OnContextSwitch.EXIT) {
      side.reasons |= ANOTHER_REASON;
    }
    stepThatMayExit(touch, reason, state -> state.taskSwitched(next));
    side.round = round;
    side.counting.attributeTo(round.account());
  }

  /** A step of the state machine. */
  @FunctionalInterface
  interface Step {
    void on(DomainState state);
  }

  /**
   * Decides about an access.
   *
   * @return whether the page stays reachable in every state of the processor under this policy
   */
  boolean admit(Touch touch, int reason) {
    ProcessorSide side = processors.get(touch.processor.index());
    RestrictedSpace space = side.space;
    if (!policy.isolates()) {
      return true;
    }
    if (space == null) {
      return false;
    }
    if (touch.linear >= 0) {
      return admitUserMemory(side, space, touch, reason);
    }
    boolean mapped = maps(side, space, touch);
    if (!side.state.isRestricted() && !mapped) {
      return noteUnrestricted(side, space, touch);
    }
    if (mapped) {
      return !space.isEphemeral(PageAddress.of(touch.linear));
    }
    return resolve(side, space, touch, reason);
  }

  /**
   * Whether the tables that the processor runs on now map the page of an access, the restricted
   * ones or the guest's. Asking changes nothing.
   *
   * <p>A policy that fills ahead has all that is nonsensitive in its tables from the start; that
   * ours take a page in at its first touch saves work, and must not hide it from whoever asks.
   */
  boolean reaches(Touch touch) {
    ProcessorSide side = processors.get(touch.processor.index());
    RestrictedSpace space = side.space;
    if (space == null || !side.state.isRestricted()) {
      return true;
    }
    if (touch.linear >= 0) {
      return touch.processor.state().cpl == USER_PRIVILEGE || mapsUserMemory(space, touch);
    }
    long global = tables.globalEntry(PageAddress.of(touch.linear));
    return walk(side, space, touch)
        || global != 0 && (global & RestrictedTables.ADDRESS) == touch.frame
        || behaviour.fill() == Behaviour.Fill.EAGER
            && disposition(touch) == Disposition.NONSENSITIVE;
  }

  /** The kernel accesses the process's own memory by its user addresses. */
  private boolean admitUserMemory(
      ProcessorSide side, RestrictedSpace space, Touch touch, int reason) {
    if (!unmapsOwnUserMemory()) {
      return true;
    }
    if (!mapsUserMemory(space, touch)) {
      if (side.state.isRestricted()) {
        exit(side, touch, reason);
      }
      side.reasons |= ANOTHER_REASON;
    }
    // The process's other domain may lack what this one maps.
    return false;
  }

  private boolean mapsUserMemory(RestrictedSpace space, Touch touch) {
    OwnUserMemory memory = behaviour.ownUserMemory(space.domain.domainClass());
    return memory == OwnUserMemory.MAPPED || memory.maps(touch.provenance().kind());
  }

  /**
   * Whether there are domains that lack user memory of their process. Those of virtual machines
   * count from the first machine on, so that a system without any does not pay for the question.
   */
  boolean unmapsOwnUserMemory() {
    return policy.isolates()
        && (behaviour.ownUserMemory(DomainClass.USERSPACE) != OwnUserMemory.MAPPED
            || !machineSpaces.isEmpty()
                && behaviour.ownUserMemory(DomainClass.KVM) != OwnUserMemory.MAPPED);
  }

  private void exit(ProcessorSide side, Touch touch, int reason) {
    side.reasons = 1L << bit(touch.provenance().kind());
    side.latest =
        exits.add(
            new ExitLog.Key(ExitReason.FAULT, touch.stack(), touch.datum(), reason, touch.write()),
            touch.linear,
            touch.offset(),
            now(touch));
    side.state.exit(ExitReason.FAULT);
  }

  /**
   * An unrestricted processor accesses what the restricted tables do not map: another reason for
   * the exit that was made, or something that a policy with mappings ahead maps anyway.
   */
  private boolean noteUnrestricted(ProcessorSide side, RestrictedSpace space, Touch touch) {
    Disposition disposition = disposition(touch);
    if (disposition == Disposition.NONSENSITIVE && behaviour.fill() == Behaviour.Fill.EAGER) {
      long entry = touch.guestEntry();
      if (entry != 0 && (entry & RestrictedTables.ADDRESS) == touch.frame) {
        fillGlobal(space, touch, entry);
        return true;
      }
    } else if (disposition == Disposition.SENSITIVE && side.latest != null) {
      side.reasons |= 1L << bit(touch.provenance().kind());
    }
    return false;
  }

  @SuppressWarnings("EnumOrdinal") // a set of kinds in one word, kept for a moment
  private static int bit(PageKind kind) {
    return kind.ordinal();
  }

  private void fillGlobal(RestrictedSpace space, Touch touch, long entry) {
    fill(touch, entry);
    tables.mapGlobal(PageAddress.of(touch.linear), entry);
    tables.synchronize(space.root, touch.linear);
  }

  /** Whether the restricted tables permit the access and lead to the same frame as the guest's. */
  private boolean maps(ProcessorSide side, RestrictedSpace space, Touch touch) {
    if (walk(side, space, touch)) {
      return true;
    }
    return tables.synchronize(space.root, touch.linear) && walk(side, space, touch);
  }

  private boolean walk(ProcessorSide side, RestrictedSpace space, Touch touch) {
    if (side.known.has(space.root, touch)) {
      return true;
    }
    PageWalker walker = side.walker;
    boolean leads =
        walker.walk(touch.processor.state(), space.root, touch.linear, touch.access, false, false)
            && walker.frame() == touch.frame;
    if (leads) {
      side.known.add(space.root, touch);
    }
    return leads;
  }

  /** The restricted tables do not map what a restricted processor accesses. */
  private boolean resolve(ProcessorSide side, RestrictedSpace space, Touch touch, int reason) {
    long entry = touch.guestEntry();
    if (entry == 0 || (entry & RestrictedTables.ADDRESS) != touch.frame) {
      // By a stale translation of the guest's TLB: nothing to fill in, and nothing to keep.
      staleAccesses++;
      return false;
    }
    Provenance provenance = touch.provenance();
    Disposition disposition = disposition(touch);
    switch (disposition) {
      case NONSENSITIVE -> {
        fillGlobal(space, touch, entry);
        return true;
      }
      case LOCAL -> {
        if (provenance.owner() != 0 && provenance.owner() == space.domain.mm()) {
          fill(touch, entry);
          tables.mapLocal(space.root, PageAddress.of(touch.linear), entry);
          return true;
        }
      }
      case EPHEMERAL -> {
        mapEphemeral(space, touch, entry);
        return false;
      }
      case SENSITIVE -> {}
    }
    exit(side, touch, reason);
    return false;
  }

  private void fill(Touch touch, long entry) {
    processors.get(touch.processor.index()).counting.count(fillEvent);
    touch.filledUnmarked |= Touch.isUnmarked(touch.provenance());
    remember(PageAddress.of(touch.linear), entry);
  }

  private void remember(long page, long entry) {
    long frame = PageAddress.frame(entry & RestrictedTables.ADDRESS);
    if (kernel.directMap(frame) == page) {
      directlyMapped.set((int) frame);
    } else {
      List<Long> known = aliases.computeIfAbsent(frame, unused -> new ArrayList<>(1));
      if (!known.contains(page)) {
        known.add(page);
      }
    }
  }

  private void mapEphemeral(RestrictedSpace space, Touch touch, long entry) {
    processors.get(touch.processor.index()).counting.count(Event.EPHEMERAL_MAP);
    if (space.ephemeralCount() >= Math.max(1, behaviour.ephemeralSlots())) {
      unmapEphemeral(space);
    }
    long page = PageAddress.of(touch.linear);
    tables.mapLocal(space.root, page, entry);
    space.addEphemeral(page);
    remember(page, entry);
  }

  /** The disposition of the page of an access. */
  Disposition disposition(Touch touch) {
    Provenance provenance = touch.provenance();
    if (!mapping.dependsOnSymbols(provenance.kind())) {
      return mapping.disposition(provenance, "");
    }
    Long page = PageAddress.of(touch.linear);
    Disposition known = pageDispositions.get(page);
    if (known == null) {
      known = mapping.page(provenance, touch.symbols());
      pageDispositions.put(page, known);
    }
    return known;
  }

  /** The disposition of any page, for accounts. */
  public Disposition disposition(long linear, Provenance provenance) {
    if (!mapping.dependsOnSymbols(provenance.kind())) {
      return mapping.disposition(provenance, "");
    }
    return pageDispositions.computeIfAbsent(
        PageAddress.of(linear),
        page -> mapping.page(provenance, kernel.symbolsOn(page, provenance.kind())));
  }

  /**
   * Pages of RAM were given to a new user, or freed.
   *
   * @param provenance what the page is now
   * @return how many addresses no longer map it; their translations must go
   */
  int changedHands(long frame, Provenance provenance, List<Long> withdrawn) {
    int removed = 0;
    List<Long> others = aliases.remove(frame);
    if (others != null) {
      for (long page : others) {
        // The address may show another frame by now.
        boolean shown =
            PageAddress.frame(tables.anyEntry(page) & RestrictedTables.ADDRESS) == frame;
        if (shown && tables.unmap(page)) {
          withdrawn.add(page);
          removed++;
        }
      }
    }
    if (!directlyMapped.get((int) frame)) {
      return removed;
    }
    // A page is told to be freed only to policies that do not keep free pages.
    boolean goes =
        provenance.kind() == PageKind.FREE
            || mapping.disposition(provenance, "") != Disposition.NONSENSITIVE;
    if (goes) {
      long page = kernel.directMap(frame);
      directlyMapped.clear((int) frame);
      if (tables.unmap(page)) {
        withdrawn.add(page);
        removed++;
      }
    }
    return removed;
  }

  /** Takes out a page that some domain alone maps. */
  boolean unmapLocal(long page) {
    return tables.globalEntry(page) == 0 && tables.unmap(page);
  }

  /** Pages left the restricted tables because their use changed: one shootdown for all of them. */
  void unmapped(int pages) {
    counts.add(Event.UNMAP, pages);
    counts.increment(Event.SHOOTDOWN);
  }

  /** Whether a page that is mapped stays so when it is freed. */
  boolean keepsFreePages() {
    return behaviour.freePages() == Behaviour.FreePages.KEEP;
  }

  boolean unmapsFreePages() {
    return policy.isolates() && !keepsFreePages();
  }

  /** The guest dropped translations of a page of the upper half. */
  boolean revalidate(long linear, long guestEntry) {
    long page = PageAddress.of(linear);
    long entry = tables.anyEntry(page);
    if (entry == 0 || ((entry ^ guestEntry) & COMPARED) == 0) {
      return false;
    }
    tables.unmap(page);
    guestUnmaps++;
    return true;
  }

  /** An address space of the guest is gone: its root page was freed. */
  void destroySpace(long guestRoot) {
    destroySpace(guestRoot, spaces);
    destroySpace(guestRoot, machineSpaces);
  }

  private void destroySpace(long guestRoot, Map<Long, RestrictedSpace> ofClass) {
    RestrictedSpace space = ofClass.get(guestRoot);
    if (space == null) {
      return;
    }
    for (ProcessorSide side : processors) {
      if (side.space == space) {
        if (side.state.isRestricted()) {
          return;
        }
        side.space = null;
      }
    }
    ofClass.remove(guestRoot);
    byDomain.remove(space.domain, space);
    tables.destroyRoot(space.root);
  }
}
