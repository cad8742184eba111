package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Processor;
import java.lang.invoke.MethodHandles;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;

/**
 * Makes code of regions, on a background thread, for one processor. The thread that runs the
 * machine requests and later collects, so that it alone decides what is executed.
 */
public final class Translator {
  /** One thread for all machines: translation is short beside what the JVM's compilers then do. */
  private static final ExecutorService BACKGROUND =
      Executors.newSingleThreadExecutor(work -> {
        Thread thread = new Thread(work, "translator");
        thread.setDaemon(true);
        return thread;
      });

  /**
   * Invocations without effect that make HotSpot compile a fresh method before the guest needs it:
   * bytecode that is interpreted is some fifty times slower than our own interpreter.
   */
  private static final int WARMING = 300;

  private final Processor processor;
  private final Execution execution;
  private final Queue<Runnable> finished = new ConcurrentLinkedQueue<>();
  private long regions;
  private long blocks;
  private long bytes;
  private long nanoseconds;
  private long failures;

  public Translator(Processor processor, Execution execution) {
    this.processor = processor;
    this.execution = execution;
  }

  /**
   * What has been translated.
   *
   * @param bytes of bytecode
   * @param nanoseconds that making it took, of the host's time
   * @param failures regions that could not be translated
   */
  public record Counts(long regions, long blocks, long bytes, long nanoseconds, long failures) {
    public static final Counts NONE = new Counts(0, 0, 0, 0, 0);

    /** The sum with the counts of another processor. */
    public Counts plus(Counts other) {
      return new Counts(
          regions + other.regions,
          blocks + other.blocks,
          bytes + other.bytes,
          nanoseconds + other.nanoseconds,
          failures + other.failures);
    }
  }

  public synchronized Counts counts() {
    return new Counts(regions, blocks, bytes, nanoseconds, failures);
  }

  /**
   * Translates in the background.
   *
   * @param install called by a later {@link #collect} with the code
   */
  public void request(Region region, Consumer<TranslatedCode> install) {
    BACKGROUND.execute(() -> {
      try {
        TranslatedCode code = translate(region);
        for (int i = 0; i < WARMING; i++) {
          int unused = code.run(TranslatedCode.NO_ENTRY, 0, 0);
        }
        finished.add(() -> install.accept(code));
      } catch (TooLargeException | LinkageError e) {
        synchronized (this) {
          failures++;
        }
      }
    });
  }

  /** Installs what has been finished. */
  public void collect() {
    Runnable next;
    while ((next = finished.poll()) != null) {
      next.run();
    }
  }

  /** A region that makes more bytecode than HotSpot would compile. */
  public static final class TooLargeException extends Exception {
    private static final long serialVersionUID = 1;

    TooLargeException(int bytes) {
      super("%,d bytes of bytecode".formatted(bytes));
    }
  }

  /** Translates now. */
  public TranslatedCode translate(Region region) throws TooLargeException {
    long start = System.nanoTime();
    RegionCompiler.Result result = RegionCompiler.compile(region, processor, execution);
    if (result.methodBytes() > RegionCompiler.HUGE_METHOD) {
      throw new TooLargeException(result.methodBytes());
    }
    try {
      TranslatedCode code =
          (TranslatedCode)
              MethodHandles.lookup()
                  .defineHiddenClassWithClassData(result.classFile(), result.constants(), true)
                  .lookupClass()
                  .getDeclaredConstructor()
                  .newInstance();
      synchronized (this) {
        regions++;
        blocks += region.blocks().size();
        bytes += result.methodBytes();
        nanoseconds += System.nanoTime() - start;
      }
      return code;
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("a class of our own making cannot be instantiated", e);
    }
  }
}
