package dev.ringfence.isolation.cost;

import dev.ringfence.isolation.policy.Behaviour.OnKernelEntry;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.isolation.transition.ExitReason;
import dev.ringfence.isolation.transition.TransitionListener;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Counts what a {@link dev.ringfence.isolation.transition.DomainState} does on one processor, for
 * its policy as a whole and for what the processor is at. Kernel entries, requests to enter,
 * switches of the address space, fills, removals and ephemeral mappings are not transitions; who
 * makes them counts them.
 */
public final class TransitionCounts implements TransitionListener {
  private final EventCounts counts;
  private final Event enter;
  private @Nullable EventCounts account;

  /**
   * A listener.
   *
   * @param counts to which it adds
   */
  public TransitionCounts(Policy policy, EventCounts counts) {
    this.counts = counts;
    enter =
        policy.behaviour().onKernelEntry() == OnKernelEntry.EXIT
            ? Event.ENTER_AT_RETURN
            : Event.ENTER;
  }

  /**
   * Sets where else events from here on are counted.
   *
   * @param counts those of what the processor is at; null if nobody asks
   */
  public void attributeTo(@Nullable EventCounts counts) {
    account = counts;
  }

  /** Counts one event. */
  public void count(Event event) {
    counts.increment(event);
    if (account != null) {
      account.increment(event);
    }
  }

  @Override
  public void entered(Domain domain, @Nullable Domain previous) {
    count(enter);
    if (previous != null) {
      count(Event.DOMAIN_SWITCH);
    }
  }

  @Override
  public void exited(Domain domain, ExitReason reason) {
    count(
        switch (reason) {
          case FAULT -> Event.EXIT_FAULT;
          case KERNEL_ENTRY -> Event.EXIT_ENTRY;
          case INTERRUPT -> Event.EXIT_INTERRUPT;
          case CONTEXT_SWITCH -> Event.EXIT_CONTEXT_SWITCH;
          case OTHER -> Event.EXIT_OTHER;
        });
  }

  @Override
  public void relaxed(@Nullable Domain current) {
    count(Event.RELAX);
  }

  @Override
  public void cr3Written(@Nullable Domain domain, boolean keepTranslations) {
    count(keepTranslations ? Event.CR3_WRITE_KEEPING : Event.CR3_WRITE_FLUSHING);
  }

  @Override
  public void controlFlush(Set<HardwareOperation> operations) {
    count(operations);
  }

  @Override
  public void dataFlush(Set<HardwareOperation> operations) {
    count(operations);
  }

  private void count(Set<HardwareOperation> operations) {
    for (HardwareOperation operation : operations) {
      switch (operation) {
        case IBPB -> count(Event.IBPB);
        case RSB_FILL -> count(Event.RSB_FILL);
        case L1D_FLUSH -> count(Event.L1D_FLUSH);
        case VERW -> count(Event.VERW);
        case CR3_WRITE -> {
          // Reported by cr3Written.
        }
      }
    }
  }
}
