package dev.ringfence.lab.result;

/** Names of the metrics that reports look up; all others they only list. */
public final class MetricNames {
  /** Instructions that the guest executed, from power-on to its end. */
  public static final String INSTRUCTIONS = "guest.instructions";

  public static final String CONSOLE_SHA256 = "guest.console.sha256";
  public static final String MEMORY_SHA256 = "guest.memory.sha256";

  // Of a policy, events unless the unit says otherwise.
  public static final String EXITS = "exits";
  public static final String ENTERS = "enters";
  public static final String EXITS_PER_ENTRY = "exits.per.entry";
  public static final String VM_EXITS = "events.vm-exit";
  public static final String VM_EXITS_RESTRICTED = "events.vm-exit-restricted";
  public static final String MAPPED_PAGES = "pages.mapped";
  public static final String UNMAPPED_PAGES = "pages.unmapped";
  public static final String SHOOTDOWNS = "shootdowns";

  /** Begins the names of flushes: {@code flushes.ibpb}. */
  public static final String FLUSHES = "flushes.";

  /** Bytes of restricted page tables, at most. */
  public static final String TABLE_BYTES = "table.bytes";

  private MetricNames() {}
}
