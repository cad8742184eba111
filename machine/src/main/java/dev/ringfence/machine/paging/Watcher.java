package dev.ringfence.machine.paging;

/** Told of accesses to watched addresses. */
public interface Watcher {
  /** Whether an enabled data breakpoint lies in the page. */
  boolean watches(long linearPage);

  /** An access to a page that is watched is about to be made. */
  void accessed(long linear, int bytes, boolean write);
}
