package dev.ringfence.linux.provenance;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.io.ByteArrayInputStream;

/**
 * What an {@link AllocationTracker} knew at some point, for another tracker of the same kernel at
 * the same point: one that begins with a snapshot cannot observe what came before.
 */
public final class AllocationHistory implements Stateful {
  private static final String NAME = "allocations";
  private static final int MOST_BYTES = 1 << 30;

  private byte[] content;

  /** An empty one, to be restored. */
  public AllocationHistory() {
    this(new byte[0]);
  }

  AllocationHistory(byte[] content) {
    this.content = content;
  }

  StateReader reader() {
    return new StateReader(new ByteArrayInputStream(content), NAME);
  }

  @Override
  public String stateName() {
    return NAME;
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(content.length);
    out.writeBytes(content);
  }

  @Override
  public void restore(StateReader in) {
    content = in.readBytes(in.readInt("bytes of allocations", 0, MOST_BYTES));
  }
}
