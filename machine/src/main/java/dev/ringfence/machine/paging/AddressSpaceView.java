package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ProcessorState;

/**
 * Which page tables the walker walks. The default is the architecture's: those that CR3 names. A
 * layer above the machine can put tables of its own in their place, in the same format, and decide
 * what a missing mapping means.
 *
 * <p>Implementations must not change architectural state; they may change their own tables and
 * invalidate translations.
 */
public interface AddressSpaceView {
  /** The architectural view. */
  AddressSpaceView ARCHITECTURAL =
      new AddressSpaceView() {
        @Override
        public long root(ProcessorState state) {
          return state.cr3;
        }

        @Override
        public boolean resolve(ProcessorState state, long linear, int errorCode) {
          return false;
        }
      };

  /** The CR3 value whose tables are walked now; flag bits and PCID are ignored. */
  long root(ProcessorState state);

  /**
   * Asked when the walk of {@link #root} ends in a page fault.
   *
   * @param errorCode the error code of the fault (SDM volume 3, section 4.7)
   * @return true to walk again, after the view has filled its tables or changed the root; false for
   *     the guest's own #PF
   */
  boolean resolve(ProcessorState state, long linear, int errorCode);
}
