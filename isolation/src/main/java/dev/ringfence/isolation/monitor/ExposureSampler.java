package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.policy.Behaviour;
import dev.ringfence.isolation.policy.Behaviour.OwnUserMemory;
import dev.ringfence.isolation.policy.Disposition;
import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.table.RestrictedTables;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Looks now and then, just before user code runs, at what that code could reach speculatively under
 * each policy: RAM by provenance and owner. A policy that maps nonsensitive memory ahead exposes
 * all of it, whether or not Ringfence has had reason to fill it in; one that maps on demand exposes
 * what is mapped.
 */
public final class ExposureSampler implements IsolationMonitor.RunListener {
  /** Whose memory it is. */
  public enum Owner {
    /** The kernel's own data, of all processes or none. */
    KERNEL("kernel"),
    /** Of the process that is about to run. */
    OWN("own process"),
    /** Of one other process. */
    OTHER("other processes"),
    /** User data of several processes, or of files that any may read or may not. */
    SHARED("shared");

    private final String text;

    Owner(String text) {
      this.text = text;
    }

    /** For people. */
    public String text() {
      return text;
    }
  }

  /** What is counted apart. */
  public record Part(PageKind kind, Owner owner, boolean user) {
    /** All parts there can be, at their {@link #index}. */
    private static final List<Part> ALL = all();

    private static List<Part> all() {
      List<Part> all = new ArrayList<>();
      for (PageKind kind : PageKind.values()) {
        for (Owner owner : Owner.values()) {
          all.add(new Part(kind, owner, false));
          all.add(new Part(kind, owner, true));
        }
      }
      return all;
    }

    /** Place in {@link #ALL}. */
    @SuppressWarnings("EnumOrdinal") // an index that lives as long as the process
    private static int index(PageKind kind, Owner owner, boolean user) {
      return (kind.ordinal() * Owner.values().length + owner.ordinal()) * 2 + (user ? 1 : 0);
    }
  }

  /** Bytes reachable. */
  public static final class Bytes {
    private long maximum;
    private long sum;
    private long now;

    /** At the sample that had most. */
    public long maximum() {
      return maximum;
    }
  }

  /** A part of the restricted address spaces, by region of the address space. */
  public record Region(String region, PageKind kind, String name) {}

  private final IsolationMonitor monitor;
  private final KernelView kernel;
  private final PhysicalMemory physical;
  private final List<PolicyRun> policies;
  private final long interval;
  private final List<Map<Part, Bytes>> exposure = new ArrayList<>();
  private final List<Map<Region, Bytes>> regions = new ArrayList<>();
  private final Map<PageKind, Bytes> everything = new EnumMap<>(PageKind.class);
  private final Provenance[] pages;
  private final long[] signatures;

  /**
   * Pages of one sample by {@link Part#index}. An array, because every page of RAM is counted once
   * for each policy: with a map a sample of 512 MiB took twice as long.
   */
  private final int[] counted = new int[Part.ALL.size()];

  private long next;
  private int samples;
  private boolean active;

  /**
   * @param interval nanoseconds of virtual time between samples
   */
  public ExposureSampler(IsolationMonitor monitor, long interval) {
    this.monitor = monitor;
    this.kernel = monitor.kernel();
    this.physical = monitor.machine().memory();
    this.policies = monitor.policies();
    this.interval = interval;
    this.pages = new Provenance[physical.ramPages()];
    this.signatures = new long[physical.ramPages()];
    for (int i = 0; i < policies.size(); i++) {
      exposure.add(new HashMap<>());
      regions.add(new HashMap<>());
    }
    monitor.add(this);
  }

  /** Samples are taken while it is active. */
  public void setActive(boolean on) {
    active = on;
  }

  /** Forgets all samples. */
  public void forget() {
    samples = 0;
    next = 0;
    exposure.forEach(Map::clear);
    regions.forEach(Map::clear);
    everything.clear();
  }

  public int samples() {
    return samples;
  }

  /** What a policy exposed. */
  public Map<Part, Bytes> exposure(int policy) {
    return exposure.get(policy);
  }

  /** RAM by what it was used for, whoever could reach it. */
  public Map<PageKind, Bytes> everything() {
    return everything;
  }

  /** What the restricted tables of a policy mapped. */
  public Map<Region, Bytes> regions(int policy) {
    return regions.get(policy);
  }

  /** Bytes on average over all samples. */
  public double average(Bytes bytes) {
    return samples == 0 ? 0 : (double) bytes.sum / samples;
  }

  @Override
  public void entered(Processor processor) {
    if (active && processor.clock().now() >= next) {
      next = processor.clock().now() + interval;
      sample(processor);
    }
  }

  private void sample(Processor processor) {
    samples++;
    kernel.refresh();
    for (int page = 0; page < pages.length; page++) {
      long frame = PageAddress.frame(physical.addressOfPage(page));
      long signature = kernel.signature(frame);
      if (pages[page] == null || signatures[page] != signature) {
        pages[page] = kernel.provenanceOfFrame(frame);
        signatures[page] = signature;
      }
    }
    countEverything();
    for (int i = 0; i < policies.size(); i++) {
      sampleExposure(policies.get(i), processor, exposure.get(i));
      sampleRegions(policies.get(i), regions.get(i));
    }
  }

  private void countEverything() {
    Arrays.fill(counted, 0);
    for (Provenance page : pages) {
      counted[Part.index(page.kind(), Owner.KERNEL, false)]++;
    }
    for (int i = 0; i < counted.length; i++) {
      if (counted[i] > 0) {
        add(everything, Part.ALL.get(i).kind(), counted[i]);
      }
    }
    finish(everything);
  }

  private void sampleExposure(PolicyRun policy, Processor processor, Map<Part, Bytes> into) {
    Arrays.fill(counted, 0);
    Domain domain = monitor.currentDomain(policy, processor);
    long mm = domain == null ? 0 : domain.mm();
    OwnUserMemory own =
        policy
            .policy()
            .behaviour()
            .ownUserMemory(domain == null ? DomainClass.USERSPACE : domain.domainClass());
    for (int page = 0; page < pages.length; page++) {
      Provenance provenance = pages[page];
      long frame = PageAddress.frame(physical.addressOfPage(page));
      if (reachable(policy, provenance, frame, mm, own)) {
        counted[Part.index(provenance.kind(), owner(provenance, mm), isUserData(provenance))]++;
      }
    }
    for (int i = 0; i < counted.length; i++) {
      if (counted[i] > 0) {
        add(into, Part.ALL.get(i), counted[i]);
      }
    }
    finish(into);
  }

  private static <K> void add(Map<K, Bytes> into, K part, long pages) {
    into.computeIfAbsent(part, unused -> new Bytes()).now += pages * PageAddress.BYTES;
  }

  private static void finish(Map<?, Bytes> parts) {
    for (Bytes bytes : parts.values()) {
      bytes.maximum = Math.max(bytes.maximum, bytes.now);
      bytes.sum += bytes.now;
      bytes.now = 0;
    }
  }

  private boolean reachable(
      PolicyRun policy, Provenance page, long frame, long mm, OwnUserMemory userMemory) {
    Behaviour behaviour = policy.policy().behaviour();
    boolean own = page.owner() != 0 && page.owner() == mm;
    boolean atUserAddresses =
        page.kind() == PageKind.ANONYMOUS || page.kind() == PageKind.GUEST_MEMORY;
    if (own && atUserAddresses && userMemory.maps(page.kind())) {
      return true;
    }
    if (policy.policy().isolates() && behaviour.fill() != Behaviour.Fill.EAGER) {
      return policy.mapsDirectly(frame);
    }
    Disposition disposition = policy.disposition(kernel.directMap(frame), page);
    return disposition == Disposition.NONSENSITIVE || disposition == Disposition.LOCAL && own;
  }

  /** Whose memory a page is, seen from the process that is about to run. */
  private static Owner owner(Provenance page, long mm) {
    if (page.owner() != 0) {
      return page.owner() == mm ? Owner.OWN : Owner.OTHER;
    }
    return isUserData(page) ? Owner.SHARED : Owner.KERNEL;
  }

  private static boolean isUserData(Provenance page) {
    return switch (page.kind()) {
      case ANONYMOUS, PAGE_CACHE, SHARED_MEMORY, GUEST_MEMORY, USER_ALLOCATION -> true;
      default -> page.user();
    };
  }

  private void sampleRegions(PolicyRun policy, Map<Region, Bytes> into) {
    policy
        .tables()
        .forEachOfAll((linear, entry) -> {
          long address = entry & RestrictedTables.ADDRESS;
          int page = physical.ramPage(address);
          boolean known = page >= 0 && kernel.directMap(PageAddress.frame(address)) == linear;
          Provenance provenance = known ? pages[page] : kernel.provenance(linear, address);
          into.computeIfAbsent(region(linear, provenance), unused -> new Bytes()).now +=
              PageAddress.BYTES;
        });
    finish(into);
  }

  private Region region(long linear, Provenance provenance) {
    // Names of files and variables would make a map of single pages.
    String name = provenance.kind() == PageKind.SLAB ? provenance.name() : "";
    return new Region(kernel.region(linear), provenance.kind(), name);
  }

  /** Bytes of a region of a policy's tables now, for the end of a run. */
  public Map<Region, Long> regionsNow(int policy) {
    Map<Region, Long> now = new HashMap<>();
    PolicyRun run = policies.get(policy);
    run.tables()
        .forEachOfAll((linear, entry) -> {
          Provenance provenance = kernel.provenance(linear, entry & RestrictedTables.ADDRESS);
          now.merge(region(linear, provenance), (long) PageAddress.BYTES, Long::sum);
        });
    return now;
  }
}
