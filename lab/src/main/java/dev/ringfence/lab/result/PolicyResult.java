package dev.ringfence.lab.result;

import java.util.List;

/**
 * What one policy did in a run. Counts are of the region of interest unless they say otherwise.
 *
 * @param name of the policy
 * @param title one line about it
 * @param description for the reader of a report
 * @param obtained how the counts were obtained: in one run with which others, and what is not exact
 * @param metrics exits, enters, exits per kernel entry, mapped pages, unmapped pages, shootdowns,
 *     flushes by kind, table bytes; names without the policy's
 * @param cost cycles that the policy adds
 * @param share {@code cost} as a fraction of the workload's own cycles
 * @param costItems what the cost consists of
 * @param causes of exits, costliest first
 * @param stacks kernel stacks at exits, for a flame graph
 * @param timeline exits over virtual time
 * @param exposure what could be reached in the restricted address spaces
 * @param map what the restricted address space holds at the end, by provenance and address
 * @param phases parts of the workload, each apart; empty if it has none
 */
public record PolicyResult(
    String name,
    String title,
    String description,
    String obtained,
    List<Metric> metrics,
    Range cost,
    Range share,
    List<CostItem> costItems,
    List<Cause> causes,
    List<StackCount> stacks,
    List<TimeBucket> timeline,
    List<Exposure> exposure,
    List<MapRegion> map,
    List<Phase> phases) {

  /**
   * A kind of event and what it costs.
   *
   * @param event name of the event: {@code ibpb}
   * @param meaning one sentence
   * @param count of events
   * @param each cycles of one
   * @param total cycles of all
   * @param source where the figure of one comes from
   * @param mark {@code S} for read in the source, {@code R} for a figure that is to be checked
   */
  public record CostItem(
      String event,
      String meaning,
      long count,
      Range each,
      Range total,
      String source,
      String mark) {}

  /**
   * A reason for exits: equal function, data and reason of kernel entry.
   *
   * @param number from 1, by cost
   * @param function the kernel function that touched the data, of the deepest frame
   * @param callSite innermost frames, most recent first, that tell one use of a helper such as
   *     memcpy from another
   * @param data what was touched, for people: {@code page-cache /data/file}
   * @param kind id of the page kind
   * @param rule what of the policy makes the data sensitive, with its line in the policy's file;
   *     empty if the exit has another reason than an access
   * @param type kernel type of the object, empty if not known
   * @param field of the type, empty if not known
   * @param offsets where in the file or slab object the accesses lay
   * @param entry why the kernel ran: {@code system call pread64}, {@code interrupt 236}
   * @param write whether the access was a store
   * @param count exits
   * @param cost cycles of these exits, re-entry included
   * @param share of all exits of the policy
   * @param savedByMapping exits that would go away if this data were nonsensitive
   * @param exposedByMapping bytes that this would expose: all pages of the kind that the policy
   *     does not expose already
   * @param example one full stack, most recent frame first
   * @param address one linear address touched, hexadecimal
   */
  public record Cause(
      int number,
      String function,
      List<String> callSite,
      String data,
      String kind,
      String rule,
      String type,
      String field,
      Offsets offsets,
      String entry,
      boolean write,
      long count,
      Range cost,
      double share,
      long savedByMapping,
      long exposedByMapping,
      List<String> example,
      String address) {}

  /**
   * Where accesses lay in the file that a page belongs to, or in their object of a slab cache. Only
   * the first byte of each access counts.
   *
   * @param lowest offset in bytes; -1 if there is neither file nor object
   * @param highest offset in bytes; -1 if there is neither
   * @param objectSize bytes of an object of the cache as it lies in memory; 0 for a file
   */
  public record Offsets(long lowest, long highest, long objectSize) {
    /** Neither in a file nor in a slab object. */
    public static final Offsets NONE = new Offsets(-1, -1, 0);
  }

  /**
   * A kernel stack at exits.
   *
   * @param frames outermost first; the first is the entry reason, the last the data touched
   * @param count exits
   */
  public record StackCount(List<String> frames, long count) {}

  /**
   * Counts of a stretch of virtual time.
   *
   * @param nanoseconds start, since the region of interest began
   * @param length in nanoseconds
   * @param exits in it
   * @param entries kernel entries in it
   */
  public record TimeBucket(long nanoseconds, long length, long exits, long entries) {}

  /**
   * Memory that could be reached in restricted address spaces.
   *
   * @param kind id of the page kind
   * @param meaning of the kind
   * @param owner {@code kernel}, {@code own process}, {@code other processes}
   * @param sensitive whether the kind holds user data or secrets by the kernel's own allocation
   *     flags
   * @param maximum bytes, at most at any sample
   * @param average bytes, over samples
   */
  public record Exposure(
      String kind, String meaning, String owner, boolean sensitive, long maximum, double average) {}

  /**
   * A part of the restricted address space.
   *
   * @param region part of the address space: {@code direct map}, {@code vmalloc}, {@code kernel
   *     image}
   * @param kind id of the page kind
   * @param name more about it, or empty
   * @param mapped bytes that were mapped at the end
   * @param peak bytes that were mapped at most
   */
  public record MapRegion(String region, String kind, String name, long mapped, long peak) {}

  /**
   * A part of the workload.
   *
   * @param name of the phase
   * @param instructions executed in it
   * @param entries kernel entries
   * @param exits of the policy
   * @param cost cycles added
   * @param share of the phase's own cycles
   */
  public record Phase(
      String name, long instructions, long entries, long exits, Range cost, Range share) {}
}
