package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Processor;
import java.lang.invoke.MethodHandles;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Makes code of regions, on a background thread, for one processor. The thread that runs the
 * machine requests and later collects, so that it alone decides what is executed.
 */
public final class Translator {
  /** One thread for all machines: translation is short beside what the JVM's compilers then do. */
  private static final ScheduledExecutorService BACKGROUND =
      Executors.newSingleThreadScheduledExecutor(work -> {
        Thread thread = new Thread(work, "translator");
        thread.setDaemon(true);
        return thread;
      });

  /**
   * Invocations without effect that make HotSpot compile a fresh method before the guest needs it:
   * bytecode that is interpreted is some fifty times slower than our own interpreter.
   */
  private static final int WARMING = 300;

  /** Milliseconds that HotSpot is given for that. */
  private static final int COMPILATION = 30;

  /** Milliseconds for which requests are gathered, so that they share a class. */
  private static final int GATHERING = 20;

  private static final int MOST_REGIONS = 32;

  /** Regions that may wait to be translated or installed; far more than a boot ever has. */
  private static final int MOST_REQUESTS = 2000;

  private final Processor processor;
  private final Execution execution;
  private final Listener listener;
  private final Runnable exhausted;
  private final AtomicInteger outstanding = new AtomicInteger();
  private final Queue<Runnable> finished = new ConcurrentLinkedQueue<>();

  /**
   * Whether there may be something in {@link #finished}: one load, for a question that is asked
   * whenever execution returns to translated code.
   */
  private volatile boolean anyFinished;

  private final Queue<Request> requests = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean scheduled = new AtomicBoolean();
  private long classes;
  private long regions;
  private long blocks;
  private long bytes;
  private long nanoseconds;
  private long failures;

  /** A translator that is asked to translate at once only, by whom it leaves all else to. */
  public Translator(Processor processor, Execution execution) {
    this(
        processor,
        execution,
        new Listener() {
          @Override
          public void installed(int bytes) {}

          @Override
          public void exhausted() {}
        });
  }

  /**
   * @param listener is told by {@link #collect}
   */
  public Translator(Processor processor, Execution execution, Listener listener) {
    this.processor = processor;
    this.execution = execution;
    this.listener = listener;
    this.exhausted = listener::exhausted;
  }

  /** Keeps account of translations. */
  public interface Listener {
    /** Code has been installed that holds so many bytes of bytecode. */
    void installed(int bytes);

    /** The JVM has no memory for what was to be translated, which is lost. */
    void exhausted();
  }

  /**
   * What has been translated.
   *
   * @param bytes of bytecode
   * @param nanoseconds that making it took, of the host's time
   * @param failures regions that could not be translated
   */
  public record Counts(
      long classes, long regions, long blocks, long bytes, long nanoseconds, long failures) {
    public static final Counts NONE = new Counts(0, 0, 0, 0, 0, 0);

    /** The sum with the counts of another processor. */
    public Counts plus(Counts other) {
      return new Counts(
          classes + other.classes,
          regions + other.regions,
          blocks + other.blocks,
          bytes + other.bytes,
          nanoseconds + other.nanoseconds,
          failures + other.failures);
    }
  }

  public synchronized Counts counts() {
    return new Counts(classes, regions, blocks, bytes, nanoseconds, failures);
  }

  /** Is told of the code of a region, or of parts of one that was too large. */
  public interface Installer {
    /**
     * Whether the code is still of use. Asked on the background thread, so the answer may be
     * outdated.
     */
    boolean wanted();

    /**
     * Blocks have code.
     *
     * @param first index of the first of them in the region
     * @param count how many
     * @param firstEntry the entry of the first; that of the next is one more, and so on
     */
    void install(int first, int count, TranslatedCode code, int firstEntry);
  }

  /** A region, or the part of it from a block on. */
  private record Request(Region region, int first, Installer installer) {
    /** Both halves; none of a block that is alone. */
    List<Request> split() {
      int blocks = region.blocks().size();
      return blocks == 1 ? List.of() : List.of(part(0, blocks / 2), part(blocks / 2, blocks));
    }

    private Request part(int from, int to) {
      return new Request(
          new Region(region.blocks().subList(from, to), region.linked(), region.code64()),
          first + from,
          installer);
    }

    void install(TranslatedCode code, int firstEntry) {
      installer.install(first, region.blocks().size(), code, firstEntry);
    }
  }

  /** Whether so much waits that there should be no further requests for now. */
  public boolean isBusy() {
    return outstanding.get() >= MOST_REQUESTS;
  }

  /**
   * Translates in the background.
   *
   * @param installer called by a later {@link #collect} with the code
   */
  public void request(Region region, Installer installer) {
    outstanding.incrementAndGet();
    requests.add(new Request(region, 0, installer));
    if (scheduled.compareAndSet(false, true)) {
      ScheduledFuture<?> unused =
          BACKGROUND.schedule(this::translateRequests, GATHERING, TimeUnit.MILLISECONDS);
    }
  }

  private void translateRequests() {
    scheduled.set(false);
    List<Request> batch = new ArrayList<>();
    Request next;
    while ((next = requests.poll()) != null) {
      outstanding.decrementAndGet();
      if (next.installer.wanted()) {
        batch.add(next);
      }
      if (batch.size() == MOST_REGIONS) {
        translateBatch(batch);
        batch = new ArrayList<>();
      }
    }
    translateBatch(batch);
  }

  private void translateBatch(List<Request> wanted) {
    List<Request> batch = new ArrayList<>(wanted);
    while (!batch.isEmpty()) {
      try {
        TranslatedCode code = translate(batch.stream().map(Request::region).toList());
        for (int i = 0; i < batch.size() * WARMING; i++) {
          int unused = code.run(TranslatedCode.noEntry(i % batch.size()), 0, 0);
        }
        List<Request> done = batch;
        ScheduledFuture<?> unused =
            BACKGROUND.schedule(
                () -> finish(() -> install(done, code)), COMPILATION, TimeUnit.MILLISECONDS);
        return;
      } catch (TooLargeException e) {
        Request large = batch.remove(e.region);
        batch.addAll(large.split());
        if (large.region.blocks().size() == 1) {
          failed();
        }
      } catch (OutOfMemoryError e) {
        lose(batch.size());
        return;
      } catch (LinkageError | RuntimeException e) {
        // The fault of one of them, whose blocks stay interpreted.
        if (batch.size() == 1) {
          failed();
        } else {
          batch.forEach(request -> translateBatch(List.of(request)));
        }
        return;
      }
    }
  }

  /**
   * There is no memory for a batch. All blocks are going to be dropped, so what waits is not wanted
   * either. Constraint: no class may be needed here that is not loaded yet.
   */
  private void lose(int regionsOfBatch) {
    int lost = regionsOfBatch;
    while (requests.poll() != null) {
      outstanding.decrementAndGet();
      lost++;
    }
    synchronized (this) {
      failures += lost;
    }
    finish(exhausted);
  }

  private void finish(Runnable installation) {
    finished.add(installation);
    anyFinished = true;
  }

  private void install(List<Request> batch, TranslatedCode code) {
    for (int i = 0; i < batch.size(); i++) {
      batch.get(i).install(code, TranslatedCode.entry(i, 0));
    }
    listener.installed(code.bytes());
  }

  /** A region could not be translated. */
  public synchronized void failed() {
    failures++;
  }

  /** Installs what has been finished. */
  public void collect() {
    if (!anyFinished) {
      return;
    }
    // Before the queue is emptied, so that what is added meanwhile is seen next time.
    anyFinished = false;
    Runnable next;
    while ((next = finished.poll()) != null) {
      next.run();
    }
  }

  /** A region that makes more bytecode than HotSpot would compile. */
  public static final class TooLargeException extends Exception {
    private static final long serialVersionUID = 1;

    /** Its index among those that were to be translated. */
    private final int region;

    TooLargeException(int region, int bytes) {
      super("region %d: %,d bytes of bytecode".formatted(region, bytes));
      this.region = region;
    }
  }

  /**
   * Translates now.
   *
   * @throws TooLargeException for the first region that is
   */
  public TranslatedCode translate(List<Region> batch) throws TooLargeException {
    long start = System.nanoTime();
    RegionCompiler.Result result = RegionCompiler.compile(batch, processor, execution);
    for (int i = 0; i < batch.size(); i++) {
      if (result.methodBytes().get(i) > RegionCompiler.HUGE_METHOD) {
        throw new TooLargeException(i, result.methodBytes().get(i));
      }
    }
    try {
      TranslatedCode code =
          (TranslatedCode)
              MethodHandles.lookup()
                  .defineHiddenClassWithClassData(result.classFile(), result.constants(), true)
                  .lookupClass()
                  .getDeclaredConstructor()
                  .newInstance();
      code.setBytes(result.methodBytes().stream().mapToInt(Integer::intValue).sum());
      synchronized (this) {
        classes++;
        regions += batch.size();
        blocks += batch.stream().mapToInt(region -> region.blocks().size()).sum();
        bytes += code.bytes();
        nanoseconds += System.nanoTime() - start;
      }
      return code;
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("a class of our own making cannot be instantiated", e);
    }
  }
}
