package dev.ringfence.machine.profile;

import dev.ringfence.machine.translate.Translator;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;

/**
 * What a profiler has seen.
 *
 * @param nanoseconds of the host's time
 * @param instructions that the guest executed
 * @param hostSamples how often the thread was looked at
 * @param places with samples, in no order
 * @param translation what was translated meanwhile, in the background or not
 * @param overflows how often all decoded and translated code was dropped because there was too much
 * @param coldDrops how often code that was executed a few times only was dropped for the same
 *     reason
 * @param compilation milliseconds that the JVM's compilers worked, on threads of their own
 * @param collection milliseconds of garbage collection
 */
public record Profile(
    long nanoseconds,
    long instructions,
    long hostSamples,
    List<Place> places,
    Translator.Counts translation,
    long overflows,
    long coldDrops,
    long compilation,
    long collection) {

  public Profile {
    places = List.copyOf(places);
  }

  /**
   * Samples of one place in the guest.
   *
   * @param rip an address of supervisor code; {@link #USER} for all user code, {@link #NOWHERE}
   * @param instructionSamples exact in position, one every so many instructions
   * @param translatedSamples of these, where the block before had a translation
   * @param hostSamples by activity; in translated code the place is where its region was entered or
   *     last left the fast path
   */
  public record Place(
      long rip, long instructionSamples, long translatedSamples, Map<Activity, Long> hostSamples) {

    /** Stands for all user code. */
    public static final long USER = -1;

    /** Stands for the host's time in which the machine did not run. */
    public static final long NOWHERE = -2;

    public Place {
      hostSamples = Map.copyOf(hostSamples);
    }
  }

  /**
   * Samples of one function.
   *
   * @param name as the caller names places
   */
  public record Function(
      String name,
      long instructionSamples,
      long translatedSamples,
      Map<Activity, Long> hostSamples) {
    public Function {
      hostSamples = Map.copyOf(hostSamples);
    }

    /** Samples of the host's time in all activities. */
    public long allHostSamples() {
      return hostSamples.values().stream().mapToLong(Long::longValue).sum();
    }
  }

  /** Samples of the instruction count, everywhere. */
  public long instructionSamples() {
    return places.stream().mapToLong(Place::instructionSamples).sum();
  }

  /** Samples of the instruction count that followed a block with a translation. */
  public long translatedSamples() {
    return places.stream().mapToLong(Place::translatedSamples).sum();
  }

  /** Samples of the host's time by activity, all of them, in the order of their declaration. */
  public Map<Activity, Long> activities() {
    Map<Activity, Long> sums = new EnumMap<>(Activity.class);
    for (Activity activity : Activity.values()) {
      sums.put(activity, 0L);
    }
    places.forEach(place -> place.hostSamples().forEach((a, n) -> sums.merge(a, n, Long::sum)));
    return sums;
  }

  /**
   * Sums by function, those with most of the host's time first.
   *
   * @param naming the function of an address of supervisor code
   */
  public List<Function> functions(LongFunction<String> naming) {
    Map<String, Sum> sums = new HashMap<>();
    for (Place place : places) {
      if (place.rip() == Place.NOWHERE) {
        continue;
      }
      String name = place.rip() == Place.USER ? "user code" : naming.apply(place.rip());
      sums.computeIfAbsent(name, key -> new Sum()).add(place);
    }
    return sums.entrySet().stream()
        .map(entry -> entry.getValue().of(entry.getKey()))
        .sorted(
            Comparator.comparingLong(Function::allHostSamples)
                .thenComparingLong(Function::instructionSamples)
                .reversed()
                .thenComparing(Function::name))
        .toList();
  }

  private static final class Sum {
    private long instructions;
    private long translated;
    private final Map<Activity, Long> host = new EnumMap<>(Activity.class);

    void add(Place place) {
      instructions += place.instructionSamples();
      translated += place.translatedSamples();
      place.hostSamples().forEach((activity, count) -> host.merge(activity, count, Long::sum));
    }

    Function of(String name) {
      return new Function(name, instructions, translated, host);
    }
  }
}
