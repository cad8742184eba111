package dev.ringfence.machine.paging;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Numbers by which translations of different address spaces are told apart: one for each PCID that
 * is in use, of the host and of each virtual machine (SDM volume 3, sections 4.10.1 and 29.4.1).
 * Dropping the translations of a PCID or of a virtual machine takes away its numbers; nothing finds
 * what is left under them.
 */
final class TranslationSlots {
  /** Slots below {@link TranslationBuffer#GLOBAL}; a tag has ten bits for them. */
  static final int SLOTS = TranslationBuffer.GLOBAL;

  /** Virtual machines whose translations are kept. */
  private static final int SPACES = 64;

  /** Called when all numbers are given away: nothing may be found under any of them any more. */
  interface Exhausted {
    void forgetAll();
  }

  /** The address spaces of the host, or those of a virtual processor under one EPT pointer. */
  static final class Space {
    /** Virtual-processor identifier; 0 for the host, and for virtual machines without. */
    final int vpid;

    /** The EPT pointer, or 0 if guest-physical addresses are not translated. */
    final long extended;

    private final short[] slotOfPcid = new short[4096];

    /** Slot of global translations. */
    private int global;

    /** What decided about permissions when the fast tables were filled under these slots. */
    long modes;

    private Space(int vpid, long extended, int global) {
      this.vpid = vpid;
      this.extended = extended;
      this.global = global;
      Arrays.fill(slotOfPcid, (short) -1);
    }
  }

  private final Space host = new Space(0, 0, TranslationBuffer.GLOBAL);
  private final List<Space> guests = new ArrayList<>();
  private final Exhausted exhausted;
  private Space current = host;
  private int next;

  TranslationSlots(Exhausted exhausted) {
    this.exhausted = exhausted;
  }

  /** The space in which the processor runs. */
  Space current() {
    return current;
  }

  /** Whether a virtual machine runs. */
  boolean inGuest() {
    return current != host;
  }

  /** A virtual processor runs from now on. */
  void enterGuest(int vpid, long extended) {
    for (Space guest : guests) {
      if (guest.vpid == vpid && guest.extended == extended) {
        current = guest;
        return;
      }
    }
    if (guests.size() == SPACES) {
      guests.removeFirst();
    }
    current = new Space(vpid, extended, -1);
    guests.add(current);
  }

  /** The host runs from now on. */
  void leaveGuest() {
    current = host;
  }

  /** The slot of a PCID of the current space. */
  int slot(int pcid) {
    int slot = current.slotOfPcid[pcid];
    if (slot < 0) {
      slot = allocate();
      current.slotOfPcid[pcid] = (short) slot;
    }
    return slot;
  }

  /** The slot of a PCID of the current space, or -1 if it has none. */
  int slotIfAny(int pcid) {
    return current.slotOfPcid[pcid];
  }

  /** The slot of the current space's global translations. */
  int global() {
    if (current.global < 0) {
      current.global = allocate();
    }
    return current.global;
  }

  private int allocate() {
    if (next == SLOTS) {
      forgetAll();
      exhausted.forgetAll();
    }
    return next++;
  }

  /** Takes away the slot of a PCID of the current space. */
  void forget(int pcid) {
    current.slotOfPcid[pcid] = -1;
  }

  /** Takes away all slots of the current space but that of global translations. */
  void forgetButGlobal() {
    Arrays.fill(current.slotOfPcid, (short) -1);
  }

  /** Takes away all slots of the virtual machine that runs. */
  void forgetCurrentGuest() {
    forget(current);
  }

  private static void forget(Space guest) {
    Arrays.fill(guest.slotOfPcid, (short) -1);
    guest.global = -1;
  }

  /**
   * Takes away the slots of virtual machines.
   *
   * @param vpid of one alone, or -1
   * @param extended EPT pointer of those meant, or 0 for all
   */
  void forgetGuests(int vpid, long extended) {
    for (Space guest : guests) {
      boolean sameTables = extended == 0 || (guest.extended ^ extended) >>> 12 == 0;
      if ((vpid < 0 || guest.vpid == vpid) && sameTables) {
        forget(guest);
      }
    }
  }

  /** Takes away all slots. */
  void forgetAll() {
    Arrays.fill(host.slotOfPcid, (short) -1);
    guests.forEach(TranslationSlots::forget);
    next = 0;
  }

  void save(StateWriter out) {
    out.writeInt(next);
    out.writeInt(guests.size());
    out.writeInt(guests.indexOf(current));
    saveSlots(out, host);
    for (Space guest : guests) {
      out.writeInt(guest.vpid);
      out.writeLong(guest.extended);
      out.writeInt(guest.global);
      out.writeLong(guest.modes);
      saveSlots(out, guest);
    }
  }

  private static void saveSlots(StateWriter out, Space space) {
    for (short slot : space.slotOfPcid) {
      out.writeInt(slot);
    }
  }

  void restore(StateReader in) {
    next = in.readInt("next translation slot", 0, SLOTS);
    int count = in.readInt("virtual machines with translations", 0, SPACES);
    int running = in.readInt("running virtual machine", -1, count - 1);
    restoreSlots(in, host);
    guests.clear();
    for (int i = 0; i < count; i++) {
      int vpid = in.readInt("VPID", 0, 0xffff);
      long extended = in.readLong();
      Space guest = new Space(vpid, extended, in.readInt("slot", -1, SLOTS - 1));
      guest.modes = in.readLong();
      restoreSlots(in, guest);
      guests.add(guest);
    }
    current = running < 0 ? host : guests.get(running);
  }

  private static void restoreSlots(StateReader in, Space space) {
    for (int pcid = 0; pcid < space.slotOfPcid.length; pcid++) {
      space.slotOfPcid[pcid] = (short) in.readInt("translation slot", -1, SLOTS - 1);
    }
  }
}
