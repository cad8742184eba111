package dev.ringfence.oracle;

import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.RunLimits;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongConsumer;
import java.util.function.Supplier;

/**
 * Runs two machines that must not differ, such as one that interprets and one that translates, and
 * stops at the first instruction after which they do.
 *
 * <p>They are compared every so many instructions; after a difference, fresh ones run to the last
 * point where they were equal and go on in smaller steps. Machines are deterministic, so the
 * difference is found again, unless it depends on when a translation was ready: then the report
 * names the smallest stretch in which it was seen.
 */
public final class Lockstep {
  private static final int REFINEMENT = 100;

  private final Supplier<Machine> left;
  private final Supplier<Machine> right;

  public Lockstep(Supplier<Machine> left, Supplier<Machine> right) {
    this.left = left;
    this.right = right;
  }

  /**
   * Where two machines went apart.
   *
   * @param equalUntil instructions after which they were still equal
   * @param differentAfter instructions after which they were not
   * @param differences a line for each, with both values
   * @param before state of both at {@code equalUntil}
   */
  public record Difference(
      long equalUntil, long differentAfter, List<String> differences, String before) {}

  /**
   * Compares.
   *
   * @param step instructions between comparisons at first
   * @param limit instructions after which to stop
   * @param progress told the instructions that were equal so far
   */
  public Optional<Difference> run(long step, long limit, LongConsumer progress) {
    long from = 0;
    long to = limit;
    long size = step;
    Optional<Difference> found = Optional.empty();
    while (true) {
      Optional<Difference> difference = pass(from, to, size, progress);
      if (difference.isEmpty()) {
        return found;
      }
      found = difference;
      if (size == 1) {
        return found;
      }
      from = difference.get().equalUntil();
      to = difference.get().differentAfter();
      size = Math.max(1, size / REFINEMENT);
    }
  }

  private Optional<Difference> pass(long from, long to, long step, LongConsumer progress) {
    try (Machine a = left.get();
        Machine b = right.get()) {
      String before = "";
      long equal = from;
      for (long at = from == 0 ? Math.min(step, to) : from;
          equal < to;
          at = Math.min(at + step, to)) {
        String reason = run(a, at);
        String other = run(b, at);
        List<String> differences = compare(a, b);
        if (!reason.equals(other)) {
          differences.add("stopped: %s, %s".formatted(reason, other));
        }
        if (!differences.isEmpty()) {
          return Optional.of(new Difference(equal, at, differences, before));
        }
        before = describe(a);
        equal = at;
        progress.accept(at);
        if (!reason.equals(new StopReason.InstructionLimit().toString())) {
          break;
        }
      }
      if (!Arrays.equals(digest(a), digest(b))) {
        return Optional.of(new Difference(from, to, List.of("memory differs"), before));
      }
      return Optional.empty();
    }
  }

  /** Why a machine stopped; trouble of the guest counts as a reason. */
  private static String run(Machine machine, long until) {
    try {
      return machine.run(RunLimits.untilInstruction(until)).toString();
    } catch (GuestTroubleException e) {
      return e.getMessage().lines().findFirst().orElse("");
    }
  }

  private static byte[] digest(Machine machine) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      machine.memory().digest(digest);
      return digest.digest();
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  private static List<String> compare(Machine a, Machine b) {
    List<String> differences = new ArrayList<>();
    difference(differences, "instructions", a.instructions(), b.instructions());
    difference(differences, "nanoseconds", a.nanoseconds(), b.nanoseconds());
    for (int i = 0; i < a.processors().size(); i++) {
      Processor one = a.processors().get(i);
      Processor two = b.processors().get(i);
      String name = a.processors().size() == 1 ? "" : "processor " + i + " ";
      difference(differences, name + "time", one.time(), two.time());
      compare(differences, name, one.state(), two.state());
    }
    return differences;
  }

  private static void compare(
      List<String> differences, String name, ProcessorState a, ProcessorState b) {
    difference(differences, name + "RIP", a.rip, b.rip);
    difference(differences, name + "RFLAGS", a.rflags(), b.rflags());
    difference(differences, name + "CPL", a.cpl, b.cpl);
    difference(differences, name + "CR0", a.cr0, b.cr0);
    difference(differences, name + "CR2", a.cr2, b.cr2);
    difference(differences, name + "CR3", a.cr3, b.cr3);
    difference(differences, name + "CR4", a.cr4, b.cr4);
    difference(differences, name + "MXCSR", a.mxcsr, b.mxcsr);
    for (int slot = 0; slot < Slot.COUNT; slot++) {
      if (architectural(slot)) {
        difference(differences, name + "slot " + slot, a.r[slot], b.r[slot]);
      }
    }
  }

  /** Temporaries and the start of the block mean nothing between instructions. */
  private static boolean architectural(int slot) {
    return slot < Slot.ZERO
        || slot >= Slot.SEGMENT_BASE && slot < Slot.VECTOR_TEMPORARY
        || slot >= Slot.X87;
  }

  private static void difference(List<String> differences, String name, long a, long b) {
    if (a != b) {
      differences.add(String.format(Locale.ROOT, "%s: 0x%x, 0x%x", name, a, b));
    }
  }

  private static String describe(Machine machine) {
    StringBuilder text = new StringBuilder();
    for (Processor processor : machine.processors()) {
      ProcessorState state = processor.state();
      text.append(String.format(Locale.ROOT, "RIP %x CPL %d", state.rip, state.cpl));
      text.append(String.format(Locale.ROOT, " RFLAGS %x%n", state.rflags()));
      for (int register = 0; register < Slot.ZERO; register++) {
        text.append(
            String.format(
                Locale.ROOT,
                "r%d %016x%s",
                register,
                state.r[register],
                register % 4 == 3 ? System.lineSeparator() : "  "));
      }
      byte[] code = new byte[16];
      long physical = processor.memory().probe(state.rip);
      if (physical >= 0 && machine.memory().hostAddress(physical) != 0) {
        machine.memory().read(physical, code, 0, Math.min(16, 4096 - (int) (physical & 4095)));
        text.append("code ").append(HexFormat.of().formatHex(code));
        text.append(System.lineSeparator());
      }
    }
    return text.toString();
  }
}
