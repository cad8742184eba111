package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.policy.Disposition;
import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.Arrays;
import java.util.List;

/**
 * Proves at every enter, before user code runs, that the restricted tables of each policy map
 * nothing sensitive and nothing otherwise than the kernel does, and that no TLB holds what they do
 * not map. It asks the kernel's data structures and page tables anew and relies on nothing that the
 * monitor keeps; what a page is gets worked out again whenever its {@link KernelView#signature} has
 * changed since the last look.
 */
public final class Auditor implements IsolationMonitor.RunListener {
  private static final int HISTORY = 1 << 16;

  private final IsolationMonitor monitor;
  private final KernelView kernel;
  private final PhysicalMemory physical;
  private final List<PolicyRun> policies;

  /** For each policy and RAM page: the address and the signature that were found in order. */
  private final long[][] linears;

  private final long[][] signatures;

  // What the kernel says of a RAM page, asked once for all policies at an enter: the tables of
  // policies hold much the same pages.
  private final long[] lookedAt;
  private final long[] lookedLinear;
  private final long[] lookedGuest;
  private final long[] lookedSignature;
  private long look;

  private final String[] history = new String[HISTORY];
  private final long[] historyFrames = new long[HISTORY];
  private long events;
  private long audits;
  private long leaves;
  private long translations;
  private long unflushed;

  public Auditor(IsolationMonitor monitor) {
    this.monitor = monitor;
    this.kernel = monitor.kernel();
    this.physical = monitor.machine().memory();
    this.policies = monitor.policies();
    linears = new long[policies.size()][physical.ramPages()];
    signatures = new long[policies.size()][physical.ramPages()];
    lookedAt = new long[physical.ramPages()];
    lookedLinear = new long[physical.ramPages()];
    lookedGuest = new long[physical.ramPages()];
    lookedSignature = new long[physical.ramPages()];
    monitor.add(this);
  }

  /** Audits so far: one for each policy and enter. */
  public long audits() {
    return audits;
  }

  /** Leaves of restricted tables that were looked at. */
  public long leaves() {
    return leaves;
  }

  /** Mappings that the kernel had taken out and not flushed yet when they were looked at. */
  public long unflushed() {
    return unflushed;
  }

  /** Translations in TLBs that were looked at. */
  public long translations() {
    return translations;
  }

  @Override
  public void changed(String what, long linear, long frame) {
    int at = (int) (events++ & HISTORY - 1);
    history[at] = "%s at %d ns".formatted(what, monitor.machine().nanoseconds());
    historyFrames[at] = frame;
  }

  @Override
  public void entered(Processor processor) {
    look++;
    for (int i = 0; i < policies.size(); i++) {
      PolicyRun policy = policies.get(i);
      if (policy.restricted(processor.index())) {
        audits++;
        int number = i;
        long root = policy.currentRoot(processor.index());
        policy.tables().forEach(root, (linear, entry) -> audit(number, processor, linear, entry));
        processor
            .memory()
            .forEachHeld(linear -> {
              translations++;
              if (policy.tables().entry(root, linear) == 0
                  && !policy.tables().synchronize(root, linear)) {
                throw violation(
                    policy, linear, 0, "the TLB holds a translation that the tables do not map");
              }
            });
      }
    }
  }

  private void audit(int number, Processor processor, long linear, long entry) {
    leaves++;
    PolicyRun policy = policies.get(number);
    long address = entry & RestrictedTables.ADDRESS;
    int page = physical.ramPage(address);
    long guest;
    long signature;
    if (page >= 0 && lookedAt[page] == look && lookedLinear[page] == linear) {
      guest = lookedGuest[page];
      signature = lookedSignature[page];
    } else {
      guest = monitor.guestEntry(processor, linear);
      signature = page < 0 ? 0 : kernel.signature(PageAddress.frame(address));
      if (page >= 0) {
        lookedAt[page] = look;
        lookedLinear[page] = linear;
        lookedGuest[page] = guest;
        lookedSignature[page] = signature;
      }
    }
    if (guest == 0) {
      unflushed++;
    } else if (((guest ^ entry) & PolicyRun.COMPARED) != 0) {
      throw violation(
          policy, linear, entry, "the kernel's tables map the address as %x".formatted(guest));
    }
    if (page >= 0 && linears[number][page] == linear && signatures[number][page] == signature) {
      return;
    }
    Provenance provenance = kernel.provenance(linear, address);
    Disposition disposition = policy.disposition(linear, provenance);
    boolean allowed =
        switch (disposition) {
          case NONSENSITIVE -> true;
          case LOCAL ->
              provenance.owner() != 0 && provenance.owner() == policy.currentMm(processor.index());
          case EPHEMERAL, SENSITIVE -> false;
        };
    boolean kept = provenance.kind() == PageKind.FREE && policy.keepsFreePages();
    if (!allowed && !kept) {
      throw violation(policy, linear, entry, "the policy says " + disposition.id());
    }
    if (page >= 0 && disposition == Disposition.NONSENSITIVE) {
      linears[number][page] = linear;
      signatures[number][page] = signature;
    }
  }

  private IsolationViolationException violation(
      PolicyRun policy, long linear, long entry, String what) {
    long frame = PageAddress.frame(entry & RestrictedTables.ADDRESS);
    StringBuilder text = new StringBuilder();
    text.append(
        "audit of policy %s: page %x, mapped by %x in a restricted address space: %s"
            .formatted(policy.policy().name(), PageAddress.of(linear), entry, what));
    if (entry != 0) {
      text.append("; it is ").append(kernel.provenance(linear, frame << 12));
    }
    text.append("; instructions %d, history:".formatted(monitor.machine().instructions()));
    String[] lines = new String[8];
    int found = 0;
    for (long i = events - 1; i >= 0 && i > events - HISTORY && found < lines.length; i--) {
      int at = (int) (i & HISTORY - 1);
      if (historyFrames[at] == frame) {
        lines[found++] = history[at];
      }
    }
    text.append(found == 0 ? " none" : " " + String.join(", ", Arrays.copyOf(lines, found)));
    return new IsolationViolationException(text.toString());
  }
}
