package dev.ringfence.isolation.transition;

import dev.ringfence.isolation.policy.Behaviour.OnContextSwitch;
import dev.ringfence.isolation.policy.Behaviour.OnInterrupt;
import dev.ringfence.isolation.policy.Behaviour.OnKernelEntry;
import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.FlushOperations;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Taint;
import dev.ringfence.isolation.policy.TaintRules;
import dev.ringfence.isolation.policy.Vulnerability;
import java.util.Collections;
import java.util.EnumSet;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The state of one processor under one policy: which domain's page table it runs on, whether
 * untrusted code is about to run, and what taints its microarchitectural state.
 *
 * <p>The order of steps is that of Google's RFC v2 (arch/x86/mm/asi.c, __asi_enter() and
 * asi_exit()), because an NMI may arrive between any two of them: an enter names the domain as
 * current <em>before</em> it writes CR3, so that the NMI's exit sees that there is something to
 * leave; an exit taints <em>before</em> it writes CR3 and clears the current domain <em>after</em>
 * it. A nested exit and enter then at worst repeat work. Two cases have no model there and are
 * guarded here: a domain entered without being the target (resumed, or that of the next process) is
 * not entered further once an NMI's handler has left it, and no domain is resumed within an exit.
 *
 * <p>Nothing is allocated after construction. Not for several threads.
 */
public final class DomainState {
  /** Taints that belong to the process at hand, and become OTHER_MM when another one is loaded. */
  private static final int OWN_CONTROL = Taint.USER_CONTROL.bit() | Taint.GUEST_CONTROL.bit();

  private static final int OWN_DATA = Taint.USER_DATA.bit() | Taint.GUEST_DATA.bit();

  private final TransitionListener listener;
  private final boolean isolates;
  private final boolean keepTranslations;
  private final OnKernelEntry onKernelEntry;
  private final OnInterrupt onInterrupt;
  private final OnContextSwitch onContextSwitch;
  private final TaintRules userspace;
  private final TaintRules kvm;

  /** Operations of an exit, or of the control part of an enter; empty if there are none. */
  private final Set<HardwareOperation> controlFlush;

  private final Set<HardwareOperation> exitWithoutFlush;
  private final Set<HardwareOperation> exitWithFlush;
  private final Set<HardwareOperation> enterWithoutFlush;
  private final Set<HardwareOperation> enterWithFlush;

  private @Nullable Domain current;
  private @Nullable Domain target;
  private @Nullable Domain loaded;
  private TaskState task = new TaskState();

  /**
   * Before the first enter the kernel has run unrestricted, so its data may linger. RFC v2 begins
   * without taints and leaves out a data flush at the first enter on each processor.
   */
  private int taints = Taint.KERNEL_DATA.bit();

  /** Exits that have begun and not ended: more than one if an NMI's handler leaves in an exit. */
  private int exiting;

  /**
   * An unrestricted processor.
   *
   * @param vulnerabilities of the processor, on which flushes may depend
   */
  public DomainState(
      Policy policy, Set<Vulnerability> vulnerabilities, TransitionListener listener) {
    this.listener = listener;
    isolates = policy.isolates();
    keepTranslations = policy.behaviour().keepTranslations();
    onKernelEntry = policy.behaviour().onKernelEntry();
    onInterrupt = policy.behaviour().onInterrupt();
    onContextSwitch = policy.behaviour().onContextSwitch();
    userspace = policy.taints(DomainClass.USERSPACE);
    kvm = policy.taints(DomainClass.KVM);
    FlushOperations flushes = policy.flushes();
    EnumSet<HardwareOperation> control = FlushOperations.on(vulnerabilities, flushes.control());
    EnumSet<HardwareOperation> data = FlushOperations.on(vulnerabilities, flushes.data());
    EnumSet<HardwareOperation> atExit = FlushOperations.on(vulnerabilities, flushes.atExit());
    EnumSet<HardwareOperation> atEnter = FlushOperations.on(vulnerabilities, flushes.atEnter());
    controlFlush = constant(control, EnumSet.noneOf(HardwareOperation.class));
    exitWithoutFlush = constant(atExit, EnumSet.noneOf(HardwareOperation.class));
    exitWithFlush = constant(atExit, control);
    enterWithoutFlush = constant(atEnter, EnumSet.noneOf(HardwareOperation.class));
    enterWithFlush = constant(atEnter, data);
  }

  private static Set<HardwareOperation> constant(
      EnumSet<HardwareOperation> some, EnumSet<HardwareOperation> more) {
    EnumSet<HardwareOperation> all = EnumSet.copyOf(some);
    all.addAll(more);
    return Collections.unmodifiableSet(all);
  }

  /** The domain on whose page table the processor runs, null if it is unrestricted. */
  public @Nullable Domain current() {
    return current;
  }

  /** The domain whose code runs or is about to, null if relaxed. */
  public @Nullable Domain target() {
    return target;
  }

  public boolean isRestricted() {
    return current != null;
  }

  public boolean isTense() {
    return target != null;
  }

  /** Taints of the processor, a mask of {@link Taint}. */
  public int taints() {
    return taints;
  }

  /** The task whose nesting is being counted. */
  public TaskState task() {
    return task;
  }

  /**
   * Untrusted code of a domain is about to run: a return to user mode, or a VM entry. All
   * interrupts have returned by then, whether or not that was seen.
   */
  public void enter(Domain domain) {
    if (!isolates) {
      return;
    }
    task.depth = 0;
    task.interrupted = null;
    target = domain;
    listener.step(TransitionStep.TARGET_SET);
    enterTarget();
  }

  private void enterTarget() {
    Domain domain = target;
    if (domain != null && !same(domain, current)) {
      switchTo(domain);
    }
  }

  private static boolean same(Domain domain, @Nullable Domain other) {
    return domain.equals(other);
  }

  private TaintRules rules(Domain domain) {
    return switch (domain.domainClass()) {
      case USERSPACE -> userspace;
      case KVM -> kvm;
    };
  }

  /** Changes to the page table of a domain, from the kernel's or from another domain's. */
  private void switchTo(Domain domain) {
    TaintRules rules = rules(domain);
    Domain previous = current;
    current = domain;
    if (interruptedAt(TransitionStep.CURRENT_SET, domain)) {
      return;
    }
    if ((taints & rules.preventControl()) != 0) {
      if (!controlFlush.isEmpty()) {
        listener.controlFlush(controlFlush);
      }
      setTaints(taints & ~Taint.CONTROL);
    }
    if (interruptedAt(TransitionStep.CONTROL_FLUSHED, domain)) {
      return;
    }
    listener.cr3Written(domain, keepTranslations);
    if (interruptedAt(TransitionStep.CR3_WRITTEN, domain)) {
      return;
    }
    boolean lingering = (taints & rules.protectData()) != 0;
    Set<HardwareOperation> operations = lingering ? enterWithFlush : enterWithoutFlush;
    if (!operations.isEmpty()) {
      listener.dataFlush(operations);
    }
    if (lingering) {
      setTaints(taints & ~Taint.DATA);
    }
    if (interruptedAt(TransitionStep.DATA_FLUSHED, domain)) {
      return;
    }
    setTaints(taints | rules.set());
    listener.entered(domain, previous);
    listener.step(TransitionStep.TAINTS_SET);
  }

  /**
   * Reports a step of an enter.
   *
   * @return whether an interrupt's handler has left the domain meanwhile, for good: had the domain
   *     been the target, the return of the interrupt would have entered it again
   */
  private boolean interruptedAt(TransitionStep step, Domain domain) {
    listener.step(step);
    return !same(domain, current);
  }

  /** Untrusted code no longer runs. The address space stays as it is until something faults. */
  public void relax() {
    if (target != null) {
      target = null;
      listener.relaxed(current);
    }
  }

  /**
   * The kernel was entered from user mode.
   *
   * @param kind of entry, for policies that treat interrupts apart
   */
  public void kernelEntered(EntryKind kind) {
    task.depth = 0;
    task.interrupted = null;
    relax();
    if (onKernelEntry == OnKernelEntry.EXIT) {
      exit(ExitReason.KERNEL_ENTRY);
    } else if (onInterrupt == OnInterrupt.EXIT_AND_RESUME && kind != EntryKind.SYSTEM_CALL) {
      exit(ExitReason.INTERRUPT);
    }
  }

  /**
   * A virtual machine was left. The kernel handles the exit on the machine's restricted page table,
   * until something faults (RFC v2, asi_relax() in vmx_vcpu_run()).
   */
  public void machineLeft() {
    task.depth = 0;
    task.interrupted = null;
    relax();
  }

  /**
   * Leaves the restricted address space. Without effect if the processor is unrestricted.
   *
   * @throws IllegalStateException if untrusted code may run next although nothing would enter
   *     again: the processor is tense and not in an interrupt
   */
  public void exit(ExitReason reason) {
    if (current == null) {
      return;
    }
    if (target != null && task.depth == 0) {
      throw new IllegalStateException("exit between enter and relax, outside an interrupt");
    }
    exiting++;
    boolean trained = (taints & Taint.CONTROL) != 0;
    Set<HardwareOperation> operations = trained ? exitWithFlush : exitWithoutFlush;
    if (!operations.isEmpty()) {
      listener.controlFlush(operations);
    }
    setTaints(taints & ~Taint.CONTROL);
    listener.step(TransitionStep.CONTROL_FLUSHED);
    setTaints(taints | Taint.KERNEL_DATA.bit());
    listener.step(TransitionStep.KERNEL_DATA_TAINTED);
    listener.cr3Written(null, keepTranslations);
    listener.step(TransitionStep.CR3_WRITTEN);
    exiting--;
    Domain left = current;
    current = null;
    if (left != null) {
      listener.exited(left, reason);
    }
    listener.step(TransitionStep.CURRENT_CLEARED);
  }

  /**
   * An interrupt, an exception or an NMI was taken in the kernel, possibly within a transition.
   * Entries from user mode are {@link #kernelEntered}.
   */
  public void interrupted() {
    task.depth++;
    if (onInterrupt == OnInterrupt.EXIT_AND_RESUME && current != null) {
      if (task.interrupted == null) {
        task.interrupted = current;
      }
      exit(ExitReason.INTERRUPT);
    }
  }

  /**
   * The handler of the innermost interrupt returns to the kernel. If it was the outermost, too, a
   * tense processor enters its target again, and an isolation that was interrupted is resumed.
   */
  public void interruptReturned() {
    if (task.depth > 0) {
      task.depth--;
    }
    if (task.depth > 0) {
      return;
    }
    Domain resumed = task.interrupted;
    task.interrupted = null;
    if (target != null) {
      enterTarget();
    } else if (resumed != null && exiting == 0 && current == null) {
      switchTo(resumed);
    }
  }

  /**
   * Another task gets the processor.
   *
   * @param next its state, the same object whenever it runs
   */
  public void taskSwitched(TaskState next) {
    if (next == task) {
      return;
    }
    relax();
    if (onContextSwitch == OnContextSwitch.EXIT) {
      exit(ExitReason.CONTEXT_SWITCH);
    }
    task = next;
  }

  /**
   * The kernel loads another process's page table. What this process and its virtual machine left
   * behind is from now on another's.
   *
   * @param next the process's domain of class USERSPACE; null for a page table of the kernel's own,
   *     which belongs to no process
   */
  public void switchMm(@Nullable Domain next) {
    if (!isolates || Objects.equals(next, loaded)) {
      return;
    }
    loaded = next;
    relax();
    boolean direct = onContextSwitch == OnContextSwitch.STAY && next != null;
    if (!direct) {
      exit(ExitReason.CONTEXT_SWITCH);
    }
    int after = taints;
    if ((after & OWN_CONTROL) != 0) {
      after = after & ~OWN_CONTROL | Taint.OTHER_MM_CONTROL.bit();
    }
    if ((after & OWN_DATA) != 0) {
      after = after & ~OWN_DATA | Taint.OTHER_MM_DATA.bit();
    }
    setTaints(after);
    if (next != null && current != null && !same(next, current)) {
      switchTo(next);
    }
  }

  private void setTaints(int after) {
    int before = taints;
    if (before != after) {
      taints = after;
      listener.taintsChanged(before, after);
    }
  }
}
