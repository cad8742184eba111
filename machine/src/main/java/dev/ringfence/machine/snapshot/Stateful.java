package dev.ringfence.machine.snapshot;

/** A part of the machine whose state belongs to a snapshot. */
public interface Stateful {
  /** Name of the section in a snapshot, unique in the machine, for example "local-apic-0". */
  String stateName();

  /** Writes everything that the future of the machine depends on. */
  void save(StateWriter out);

  /** Reads what {@link #save} wrote, in the same order, and brings derived state up to date. */
  void restore(StateReader in);
}
