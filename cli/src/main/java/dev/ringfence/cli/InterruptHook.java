package dev.ringfence.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * What happens on Ctrl-C: the work is asked to end, and the JVM stays until what there is of its
 * result has been written, which {@link #close} tells.
 */
final class InterruptHook implements AutoCloseable {
  /** How long results may take to be written. */
  private static final int SECONDS_TO_WRITE = 60;

  private final CountDownLatch written = new CountDownLatch(1);
  private final Thread hook;

  /**
   * @param interrupt asks the work to end soon; called from another thread
   */
  InterruptHook(Runnable interrupt) {
    hook =
        new Thread(() -> {
          interrupt.run();
          try {
            boolean unused = written.await(SECONDS_TO_WRITE, TimeUnit.SECONDS);
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        });
    Runtime.getRuntime().addShutdownHook(hook);
  }

  @Override
  public void close() {
    written.countDown();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // Interrupted: the hook runs already.
    }
  }
}
