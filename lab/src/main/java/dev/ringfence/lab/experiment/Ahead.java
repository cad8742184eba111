package dev.ringfence.lab.experiment;

import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/**
 * A value that a thread of its own computes before it is wanted, while the guest runs. It must
 * depend on its inputs alone; when it is there shows nowhere but in the clock on the wall.
 */
final class Ahead<T> {
  private final FutureTask<T> task;

  private Ahead(FutureTask<T> task) {
    this.task = task;
  }

  /**
   * Begins to compute.
   *
   * @param name of the thread
   */
  static <T> Ahead<T> of(String name, Callable<T> computation) {
    FutureTask<T> task = new FutureTask<>(computation);
    Thread.ofPlatform().name(name).daemon().start(task);
    return new Ahead<>(task);
  }

  /** Throws what the computation threw, if that is known by now. */
  void check() {
    if (task.state() == FutureTask.State.FAILED) {
      T unused = get();
    }
  }

  /** The value. Waits for it, and throws what the computation threw. */
  T get() {
    try {
      return task.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while it waited for another thread", e);
    } catch (ExecutionException e) {
      switch (e.getCause()) {
        case RuntimeException unchecked -> throw unchecked;
        case Error error -> throw error;
        case null, default -> throw new IllegalStateException(e);
      }
    }
  }
}
