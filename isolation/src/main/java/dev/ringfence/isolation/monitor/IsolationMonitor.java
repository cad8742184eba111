package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.isolation.transition.EntryKind;
import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.MonitorMemory;
import dev.ringfence.machine.paging.AddressSpaceView;
import dev.ringfence.machine.probe.Probe;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Puts address space isolation beneath a running kernel, under several policies at once.
 *
 * <p>That is exact, because no policy changes what the guest does: all see one stream of
 * instructions, and each keeps tables, state and counts of its own. The machine asks about an
 * access that its fast tables do not hold. Each policy that runs the processor restricted walks its
 * restricted tables; where they lack the page, it fills it in or leaves, by the page's provenance.
 * The page enters the fast tables; unless all policies map it for good, it goes from there at the
 * next enter ({@link dev.ringfence.machine.paging.TranslatedMemory#restrict}).
 *
 * <p>The monitor is attached while the machine does not run, and observes from there on.
 */
public final class IsolationMonitor implements AutoCloseable {
  /** Restricted tables of a policy may take this part of the guest's RAM before the run stops. */
  private static final int TABLE_SHARE = 4;

  /** Bits of an exit reason that say which one it is (SDM table 25-13). */
  private static final int BASIC_REASON = 0xffff;

  private final Machine machine;
  private final KernelView kernel;
  private final MonitorMemory memory;
  private final List<PolicyRun> policies = new ArrayList<>();
  private final StackTable stacks = new StackTable();
  private final Map<Long, TaskContext> tasks = new HashMap<>();
  private final List<ProcessorContext> processors = new ArrayList<>();
  private final MachineExits machineExits;
  private final EventCounts ownFlushes = new EventCounts();
  private final Observer observer = new Observer();
  private final List<RunListener> listeners = new ArrayList<>();
  private final Map<Integer, Long> entries = new TreeMap<>();
  private final List<Long> withdrawn = new ArrayList<>();
  private final UnmarkedPages unmarked = new UnmarkedPages();
  private final Timeline entryTimes = new Timeline();
  private boolean recording = true;
  private boolean userHalfGuarded;

  /** Told of what happens in the course of a run. */
  public interface RunListener {
    /** All policies have entered; user code runs next. */
    default void entered(Processor processor) {}

    /** A program issued the marker instruction. */
    default void marked(Processor processor, int operation, long argument) {}

    /** A page changed hands, was filled in or taken out: for histories. */
    default void changed(String what, long linear, long frame) {}
  }

  /** What the monitor keeps for one processor. */
  private static final class ProcessorContext {
    final Processor processor;
    final Touch touch;

    /** Of a question that is no access. */
    final Touch glance;

    TaskContext task;
    long addressSpace;

    /** Whether pages may be in the fast tables that a restricted processor must not reach. */
    boolean widened = true;

    ProcessorContext(Processor processor, Touch touch, Touch glance, TaskContext task) {
      this.processor = processor;
      this.touch = touch;
      this.glance = glance;
      this.task = task;
    }
  }

  /**
   * Attaches to a machine that does not run.
   *
   * @param vulnerabilities of the processor model, on which flushes may depend
   */
  public IsolationMonitor(
      Machine machine,
      KernelView kernel,
      List<Policy> policies,
      Set<Vulnerability> vulnerabilities) {
    this.machine = machine;
    this.kernel = kernel;
    int physicalBits = machine.processors().getFirst().model().physicalAddressBits();
    long ram = machine.memory().size();
    this.memory =
        new MonitorMemory(
            machine.memory(),
            1L << physicalBits - 1,
            Math.max(policies.size(), 1) * PageAddress.of(ram / TABLE_SHARE));
    this.machineExits = new MachineExits(policies.size());
    List<TaskContext> running = new ArrayList<>();
    for (Processor processor : machine.processors()) {
      long task = kernel.currentTask(processor.state(), processor.index());
      running.add(tasks.computeIfAbsent(task, unused -> new TaskContext(policies.size())));
    }
    for (Policy policy : policies) {
      int index = this.policies.size();
      // The first one acts on the processors.
      boolean leads = index == 0;
      List<MachineRound> rounds = running.stream().map(task -> task.rounds[index]).toList();
      this.policies.add(
          new PolicyRun(
              policy, kernel, memory, machine.processors(), rounds, vulnerabilities, leads));
    }
    boolean isolates = policies.stream().anyMatch(Policy::isolates);
    for (Processor processor : machine.processors()) {
      ProcessorContext context =
          new ProcessorContext(
              processor,
              new Touch(processor, kernel, stacks, machine.memory()),
              new Touch(processor, kernel, stacks, machine.memory()),
              running.get(processor.index()));
      context.addressSpace = kernel.addressSpace(processor.state().cr3);
      processors.add(context);
      if (isolates) {
        placeGate(context);
      }
    }
    machine.probes().add(observer);
    kernel.observe(observer, observer);
  }

  public void add(RunListener listener) {
    listeners.add(listener);
  }

  /** The policies, in the order in which they were given. */
  public List<PolicyRun> policies() {
    return List.copyOf(policies);
  }

  public StackTable stacks() {
    return stacks;
  }

  public Machine machine() {
    return machine;
  }

  public KernelView kernel() {
    return kernel;
  }

  /** Memory of all restricted tables. */
  public MonitorMemory memory() {
    return memory;
  }

  /** Kernel entries over virtual time. */
  public Timeline entryTimes() {
    return entryTimes;
  }

  /** Kernel entries by reason, a number of {@link EntryReason}. */
  public Map<Integer, Long> entries() {
    return new TreeMap<>(entries);
  }

  /** Exits of virtual machines since the monitor was attached. */
  public MachineExits machineExits() {
    return machineExits;
  }

  /** Flushes that the kernel made of its own accord since the monitor was attached. */
  public EventCounts ownFlushes() {
    return ownFlushes;
  }

  /** Forgets exits and entries by cause: what follows is what counts. */
  public void forget() {
    entries.clear();
    entryTimes.clear();
    for (PolicyRun policy : policies) {
      policy.exits().clear();
    }
  }

  /** Whether exits and entries are kept by cause. They are from the start. */
  public void setRecording(boolean on) {
    recording = on;
    for (PolicyRun policy : policies) {
      policy.exits().setRecording(on);
    }
  }

  /** The domain that a processor is about to run, null if that is not known. */
  public @Nullable Domain currentDomain(PolicyRun policy, Processor processor) {
    return policy.currentDomain(processor.index());
  }

  /** Detaches: the machine goes on without isolation. */
  @Override
  public void close() {
    machine.probes().remove(observer);
    kernel.release();
    for (Processor processor : machine.processors()) {
      processor.memory().setView(null);
    }
    memory.close();
  }

  private TaskContext task(long address) {
    return tasks.computeIfAbsent(address, unused -> new TaskContext(policies.size()));
  }

  /** Lets gates ask for user memory, too, once there are domains that lack some. */
  private void guardUserHalf() {
    if (!userHalfGuarded && policies.stream().anyMatch(PolicyRun::unmapsOwnUserMemory)) {
      processors.forEach(this::placeGate);
    }
  }

  private void placeGate(ProcessorContext context) {
    Gate gate = new Gate(context);
    userHalfGuarded = gate.guardsUserHalf();
    context.processor.memory().setView(gate);
  }

  /** Stands behind the guest's page tables of one processor. */
  private final class Gate implements AddressSpaceView {
    private final ProcessorContext context;

    Gate(ProcessorContext context) {
      this.context = context;
    }

    @Override
    public boolean guardsUserHalf() {
      return policies.stream().anyMatch(PolicyRun::unmapsOwnUserMemory);
    }

    @Override
    public boolean reaches(long linear, int access, Mapping mapping) {
      Touch touch = context.glance;
      touch.begin(linear, access, mapping);
      return policies.getFirst().reaches(touch);
    }

    @Override
    public boolean admit(long linear, int access, Mapping mapping) {
      Touch touch = context.touch;
      touch.begin(linear, access, mapping);
      boolean lasting = true;
      int reason = context.task.reason();
      for (int i = 0; i < policies.size(); i++) {
        lasting &= policies.get(i).admit(touch, reason);
      }
      if (touch.filledUnmarked) {
        unmarked.add(PageAddress.frame(touch.frame));
      }
      if (!lasting) {
        context.widened = true;
      }
      return lasting;
    }
  }

  /** Hears what the guest does. */
  private final class Observer
      implements Probe, KernelView.TaskListener, AllocationTracker.Listener {
    private ProcessorContext context(Processor processor) {
      return processors.get(processor.index());
    }

    private void userCodeEnded(Processor processor, Entry entry, int number) {
      ProcessorContext context = context(processor);
      int reason = EntryReason.of(entry, number);
      context.task.entered(reason);
      EntryKind kind = kind(entry);
      for (PolicyRun policy : policies) {
        policy.stepThatMayExit(context.touch, reason, state -> state.kernelEntered(kind));
      }
    }

    @Override
    public void deliveryBegins(Processor processor, Entry entry, int vector) {
      userCodeEnded(processor, entry, vector);
    }

    @Override
    public void kernelEntered(Processor processor, Entry entry, int vector) {
      int number = vector;
      if (entry == Entry.SYSTEM_CALL) {
        number = (int) processor.state().r[Slot.RAX];
        userCodeEnded(processor, entry, number);
      }
      // Not where a delivery begins: one that faults begins again as the fault.
      for (PolicyRun policy : policies) {
        policy.counts().increment(Event.KERNEL_ENTRY);
      }
      if (recording) {
        entries.merge(EntryReason.of(entry, number), 1L, Long::sum);
        entryTimes.add(processor.clock().now());
      }
    }

    /** User code or a virtual machine runs next, once all policies have entered its domain. */
    private void untrustedCodeBegins(ProcessorContext context, Consumer<PolicyRun> enter) {
      unmarked.look(this::isStillUnmarked);
      policies.forEach(enter);
      if (context.widened) {
        context.processor.memory().restrict();
        context.widened = false;
      }
      for (int i = 0; i < listeners.size(); i++) {
        listeners.get(i).entered(context.processor);
      }
    }

    private static EntryKind kind(Entry entry) {
      return switch (entry) {
        case SYSTEM_CALL -> EntryKind.SYSTEM_CALL;
        case EXCEPTION, SOFTWARE_INTERRUPT -> EntryKind.EXCEPTION;
        case INTERRUPT -> EntryKind.INTERRUPT;
        case NON_MASKABLE -> EntryKind.NON_MASKABLE_INTERRUPT;
      };
    }

    @Override
    public void kernelLeft(Processor processor) {
      ProcessorContext context = context(processor);
      context.task.left();
      untrustedCodeBegins(context, policy -> policy.enter(processor.index(), context.addressSpace));
    }

    @Override
    public void machineEntered(Processor processor) {
      ProcessorContext context = context(processor);
      context.task.machineEntered();
      untrustedCodeBegins(
          context, policy -> policy.enterMachine(processor.index(), context.addressSpace));
      guardUserHalf();
    }

    @Override
    public void machineLeft(Processor processor, int reason) {
      ProcessorContext context = context(processor);
      int entry = EntryReason.ofMachine(reason);
      MachineExits.Tally tally = tally(context, reason, entry);
      context.task.machineLeft(entry, tally);
      for (int i = 0; i < policies.size(); i++) {
        policies.get(i).machineLeft(processor.index(), tally.policy(i));
      }
      if (recording) {
        entries.merge(entry, 1L, Long::sum);
      }
    }

    private MachineExits.Tally tally(ProcessorContext context, int reason, int entry) {
      int exitReason = reason & BASIC_REASON;
      MachineExits.Tally known = context.task.tally(exitReason);
      if (known == null) {
        Processor processor = context.processor;
        long task = kernel.currentTask(processor.state(), processor.index());
        known = machineExits.of(new MachineExits.Key(kernel.process(task), entry));
        context.task.setTally(exitReason, known);
      }
      return known;
    }

    @Override
    public void flushed(Processor processor, Flush flush) {
      Event event =
          switch (flush) {
            case L1_DATA -> Event.L1D_FLUSH;
            case BRANCH_PREDICTIONS -> Event.IBPB;
            case BUFFERS -> Event.VERW;
          };
      ownFlushes.increment(event);
      MachineExits.Tally tally = context(processor).task.latestMachineExit();
      if (tally != null) {
        tally.own().increment(event);
      }
    }

    @Override
    public void kernelInterrupted(Processor processor, Entry entry, int vector) {
      ProcessorContext context = context(processor);
      int reason = EntryReason.of(entry, vector);
      context.task.interrupted(reason);
      for (PolicyRun policy : policies) {
        policy.stepThatMayExit(context.touch, reason, state -> state.interrupted());
      }
    }

    @Override
    public void kernelResumed(Processor processor) {
      ProcessorContext context = context(processor);
      context.task.returned();
      boolean resumed = false;
      for (int i = 0; i < policies.size(); i++) {
        PolicyRun policy = policies.get(i);
        boolean before = policy.restricted(processor.index());
        policy.state(processor.index()).interruptReturned();
        resumed |= !before && policy.restricted(processor.index());
      }
      if (resumed) {
        processor.memory().restrict();
      }
    }

    @Override
    public void addressSpaceChanged(Processor processor, long oldCr3, long newCr3) {
      ProcessorContext context = context(processor);
      long next = kernel.addressSpace(newCr3);
      if (next == context.addressSpace) {
        return;
      }
      context.addressSpace = next;
      int reason = context.task.reason();
      for (PolicyRun policy : policies) {
        policy.addressSpaceChanged(context.touch, reason, next);
      }
      long task = kernel.currentTask(processor.state(), processor.index());
      long mm = kernel.mm(next);
      if (mm != 0 && mm == kernel.mmOfTask(task)) {
        // The task has changed its process, by execve(2): its stack has a new owner.
        takeStack(task);
      }
      // A policy that changed from one restricted address space to another has other local pages.
      processor.memory().restrict();
    }

    @Override
    public void pageInvalidated(Processor processor, long linear) {
      if (linear >= 0) {
        return;
      }
      long entry = context(processor).touch.leaf(linear);
      for (PolicyRun policy : policies) {
        if (policy.revalidate(linear, entry)) {
          shootDown(linear);
        }
      }
    }

    @Override
    public void translationsInvalidated(Processor processor, boolean global) {
      if (global) {
        revalidateAll(context(processor).touch);
      }
    }

    @Override
    public void marked(Processor processor, int operation, long argument) {
      for (RunListener listener : listeners) {
        listener.marked(processor, operation, argument);
      }
    }

    @Override
    public void switched(Processor processor, long previous, long next, boolean previousEnded) {
      ProcessorContext context = context(processor);
      int reason = context.task.reason();
      if (previousEnded) {
        tasks.remove(previous);
        takeStack(previous);
      }
      context.task = task(next);
      for (int i = 0; i < policies.size(); i++) {
        policies
            .get(i)
            .taskSwitched(context.touch, reason, context.task.states[i], context.task.rounds[i]);
      }
    }

    /** The stack of a task that has ended goes to another, without the page allocator. */
    private void takeStack(long task) {
      long stack = kernel.stack(task);
      for (PolicyRun policy : policies) {
        int removed = 0;
        for (long page = stack; page < stack + kernel.stackBytes(); page += PageAddress.BYTES) {
          if (policy.unmapLocal(page)) {
            removed++;
            shootDown(page);
          }
        }
        if (removed > 0) {
          policy.unmapped(removed);
        }
      }
    }

    @Override
    public void allocated(long pfn, int pages, boolean user, long caller) {
      Provenance fresh =
          new Provenance(user ? PageKind.USER_ALLOCATION : PageKind.KERNEL_ALLOCATION, "", 0, user);
      changeHands("allocated", pfn, pages, fresh);
    }

    @Override
    public void freed(long pfn, int pages) {
      for (PolicyRun policy : policies) {
        for (int i = 0; i < pages; i++) {
          policy.destroySpace(pfn + i << 12);
        }
      }
      changeHands("freed", pfn, pages, new Provenance(PageKind.FREE, "", 0, false));
    }

    @Override
    public void reachedByMachine(long pfn, int pages) {
      changeHands("reached by a virtual machine", pfn, pages, kernel.provenanceOfFrame(pfn));
    }

    /** Takes a page out of restricted tables that turned out to be something sensitive. */
    private boolean isStillUnmarked(long frame) {
      Provenance now = kernel.provenanceOfFrame(frame);
      if (Touch.isUnmarked(now)) {
        return true;
      }
      changeHands("marked " + now.kind().id(), frame, 1, now);
      return false;
    }

    private void changeHands(String what, long pfn, int pages, Provenance provenance) {
      boolean freed = provenance.kind() == PageKind.FREE;
      for (PolicyRun policy : policies) {
        if (freed && !policy.unmapsFreePages()) {
          continue;
        }
        int removed = 0;
        for (int i = 0; i < pages; i++) {
          removed += policy.changedHands(pfn + i, provenance, withdrawn);
        }
        if (removed > 0) {
          policy.unmapped(removed);
        }
      }
      for (long linear : withdrawn) {
        shootDown(linear);
      }
      withdrawn.clear();
      for (RunListener listener : listeners) {
        for (int i = 0; i < pages; i++) {
          listener.changed(what, kernel.directMap(pfn + i), pfn + i);
        }
      }
    }
  }

  private void shootDown(long linear) {
    for (ProcessorContext context : processors) {
      context.processor.memory().withdraw(linear);
    }
  }

  /** Compares all restricted tables with the guest's, and takes out what differs. */
  private void revalidateAll(Touch touch) {
    for (PolicyRun policy : policies) {
      List<Long> stale = new ArrayList<>();
      policy
          .tables()
          .forEachOfAll((linear, entry) -> {
            if (((touch.leaf(linear) ^ entry) & PolicyRun.COMPARED) != 0) {
              stale.add(linear);
            }
          });
      for (long linear : stale) {
        policy.revalidate(linear, 0);
        shootDown(linear);
      }
    }
  }

  /** How the guest's tables map an address of the upper half now, as a leaf; 0 if they do not. */
  long guestEntry(Processor processor, long linear) {
    return processors.get(processor.index()).touch.leaf(linear);
  }
}
