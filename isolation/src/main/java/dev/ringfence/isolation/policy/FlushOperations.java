package dev.ringfence.isolation.policy;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * Which operations the flushes of a policy consist of.
 *
 * @param control a control flush, which taints require
 * @param data a data flush, which taints require
 * @param atEnter at every enter that changes the address space, after the write of CR3
 * @param atExit at every exit, before the write of CR3
 */
public record FlushOperations(
    List<Operation> control,
    List<Operation> data,
    List<Operation> atEnter,
    List<Operation> atExit) {
  /** No operations at all. */
  public static final FlushOperations NONE =
      new FlushOperations(List.of(), List.of(), List.of(), List.of());

  public FlushOperations {
    control = List.copyOf(control);
    data = List.copyOf(data);
    atEnter = List.copyOf(atEnter);
    atExit = List.copyOf(atExit);
  }

  /**
   * One operation.
   *
   * @param operation what the processor does
   * @param onlyOn processors that need it are those with one of these vulnerabilities; empty for
   *     all processors
   */
  public record Operation(HardwareOperation operation, Set<Vulnerability> onlyOn) {
    public Operation {
      onlyOn = Set.copyOf(onlyOn);
    }
  }

  /** The operations of a list that a processor with these vulnerabilities needs. */
  public static EnumSet<HardwareOperation> on(
      Set<Vulnerability> vulnerabilities, List<Operation> operations) {
    EnumSet<HardwareOperation> needed = EnumSet.noneOf(HardwareOperation.class);
    for (Operation operation : operations) {
      if (operation.onlyOn.isEmpty()
          || operation.onlyOn.stream().anyMatch(vulnerabilities::contains)) {
        needed.add(operation.operation);
      }
    }
    return needed;
  }
}
