package dev.ringfence.machine.profile;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.translate.Translator;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/**
 * Profiles a machine, in two ways at once. Guest instructions: every {@link #INTERVAL} instructions
 * the machine tells where a processor is, which is exact and the same in every run. Host time: a
 * thread looks at the stack of the one that runs the machine every two milliseconds, and at RIP.
 * The guest executes what it would have executed without a profile.
 */
public final class Profiler {
  /**
   * Instructions between two samples: a prime, so that loops of the guest do not keep step with it.
   */
  public static final long INTERVAL = 10_007;

  private static final long PERIOD = 2_000_000;

  /** More places than a kernel has hot ones; what comes then is counted at page addresses. */
  private static final int MOST_PLACES = 1 << 20;

  private final Machine machine;
  private final Thread profiled;
  private final Thread sampler;
  private final long start = System.nanoTime();
  private final long firstInstruction;
  private final long firstCompilation = compilation();
  private final long firstCollection = collection();

  /** By place: samples of the instruction count, and how many followed translated blocks. */
  private final Map<Long, long[]> instructions = new HashMap<>();

  /** By place; the sampler's until it has ended. */
  private final Map<Long, EnumMap<Activity, Long>> host = new HashMap<>();

  private long hostSamples;
  private volatile boolean ended;

  private Profiler(Machine machine) {
    this.machine = machine;
    this.profiled = Thread.currentThread();
    this.firstInstruction = machine.instructions();
    this.sampler = new Thread(this::sample, "profiler");
    sampler.setDaemon(true);
  }

  /** Begins to profile a machine that the calling thread is going to run. */
  public static Profiler start(Machine machine) {
    Profiler profiler = new Profiler(machine);
    machine.setInstructionListener(INTERVAL, profiler::reached);
    profiler.sampler.start();
    return profiler;
  }

  private void reached(Processor processor, boolean translated) {
    long[] counts =
        instructions.computeIfAbsent(place(processor, instructions), key -> new long[2]);
    counts[0]++;
    counts[1] += translated ? 1 : 0;
  }

  private static long place(Processor processor, Map<Long, ?> known) {
    ProcessorState state = processor.state();
    if (state.cpl == 3) {
      return Profile.Place.USER;
    }
    long rip = state.rip;
    return known.size() < MOST_PLACES || known.containsKey(rip) ? rip : rip & -4096;
  }

  private void sample() {
    long next = System.nanoTime();
    while (!ended) {
      next = Math.max(next + PERIOD, System.nanoTime());
      LockSupport.parkNanos(next - System.nanoTime());
      // RIP first: until the thread can show its stack, it may run on for a while.
      long place = place(machine.currentProcessor(), host);
      Activity activity = Activity.of(profiled.getStackTrace());
      Long key = activity == Activity.OUTSIDE ? Profile.Place.NOWHERE : place;
      host.computeIfAbsent(key, any -> new EnumMap<>(Activity.class))
          .merge(activity, 1L, Long::sum);
      hostSamples++;
    }
  }

  /** Ends the profile. The machine must not be running, but must not have been closed. */
  public Profile stop() {
    machine.setInstructionListener(INTERVAL, null);
    ended = true;
    boolean interrupted = false;
    while (sampler.isAlive()) {
      try {
        sampler.join();
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    Set<Long> rips = new HashSet<>(instructions.keySet());
    rips.addAll(host.keySet());
    List<Profile.Place> places = new ArrayList<>();
    for (Long rip : rips) {
      long[] counts = instructions.getOrDefault(rip, new long[2]);
      places.add(
          new Profile.Place(
              rip, counts[0], counts[1], host.getOrDefault(rip, new EnumMap<>(Activity.class))));
    }
    Translator.Counts translation = machine.translationCounts();
    return new Profile(
        System.nanoTime() - start,
        machine.instructions() - firstInstruction,
        hostSamples,
        places,
        translation,
        machine.codeOverflows(),
        machine.coldCodeDrops(),
        compilation() - firstCompilation,
        collection() - firstCollection);
  }

  private static long compilation() {
    return ManagementFactory.getCompilationMXBean().getTotalCompilationTime();
  }

  private static long collection() {
    return ManagementFactory.getGarbageCollectorMXBeans().stream()
        .mapToLong(GarbageCollectorMXBean::getCollectionTime)
        .sum();
  }
}
