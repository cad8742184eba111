package dev.ringfence.lab.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.stack.OrcTable;
import dev.ringfence.linux.stack.StackUnwinder;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Symbols, types and stacks against what the kernel itself says of them in /proc and /sys. */
@Tag("slow")
final class DebianKernelStackTest {
  private static final long MEMORY = 256L << 20;
  private static final long MOST_INSTRUCTIONS = 12_000_000_000L;
  private static final long STEP = 1_000_000;
  private static final int DEEPEST = 64;

  /** Caches of objects and the structs that are in them. */
  private static final Map<String, String> CACHES =
      Map.of(
          "dentry", "dentry",
          "filp", "file",
          "vm_area_struct", "vm_area_struct",
          "signal_cache", "signal_struct",
          "files_cache", "files_struct",
          "inode_cache", "inode",
          "kernfs_node_cache", "kernfs_node",
          "anon_vma", "anon_vma");

  /** Functions that are called from everywhere: interrupts, faults, system calls, threads. */
  private static final List<String> WATCHED =
      List.of(
          "update_process_times",
          "try_to_wake_up",
          "handle_mm_fault",
          "kmem_cache_free",
          "__schedule",
          "clear_page_erms",
          "memcpy_erms",
          "copy_user_enhanced_fast_string");

  /** Code from which all other code of the kernel is called, in Linux 5.10 to 7.2. */
  private static final Set<String> ROOTS =
      Set.of(
          "entry_SYSCALL_64_after_hwframe",
          "ret_from_fork",
          "ret_from_fork_asm",
          "secondary_startup_64_no_verify",
          "common_startup_64");

  private final ByteArrayOutputStream output = new ByteArrayOutputStream();
  private final List<String> ownStack = new ArrayList<>();
  private final Set<String> incomplete = new TreeSet<>();
  private final Map<String, Integer> roots = new TreeMap<>();
  private int walks;
  private int nested;

  /** Memory of the guest through the processor's tables. */
  private record GuestMemory(Processor processor) implements KernelMemory {
    @Override
    public long readLong(long linear) {
      long number = 0;
      for (int i = 7; i >= 0; i--) {
        number = number << 8 | readByte(linear + i) & 0xff;
      }
      return number;
    }

    @Override
    public int readInt(long linear) {
      return (int) readLong(linear);
    }

    @Override
    public short readShort(long linear) {
      return (short) readLong(linear);
    }

    @Override
    public byte readByte(long linear) {
      return isMapped(linear) ? processor.physical().readByte(processor.memory().probe(linear)) : 0;
    }

    @Override
    public boolean isMapped(long linear) {
      long physical = processor.memory().probe(linear);
      return physical >= 0 && processor.physical().isRam(physical, 1);
    }
  }

  @Test
  @Tag("long")
  void theKernelSaysTheSameOfItself() throws IOException {
    GuestPreparation preparation = new GuestPreparation(GuestCache.ofUser(), line -> {});
    Path file = preparation.defaultKernelImage();
    KernelImage image = KernelImage.of(Files.readAllBytes(file), "kernel");
    SymbolTable linked = image.symbols();
    StringBuilder command =
        new StringBuilder(
            """
            head -n 1 /proc/kallsyms > /dev/null
            cat /proc/self/stack
            grep -v '\\[' /proc/kallsyms > /tmp/symbols
            grep ' _text$' /tmp/symbols
            sha256sum < /tmp/symbols
            """);
    CACHES.keySet().stream()
        .sorted()
        .forEach(c ->
            command.append(
                "echo cache %s $(cat /sys/kernel/slab/%s/object_size)\n".formatted(c, c)));
    command.append(
        "for i in 1 2 3 4 5; do sh -c 'ls -lR /proc/self | head -n 50 | sort > /tmp/f'; done\n");
    SymbolTable symbols;
    try (Machine machine = new Machine(MachineConfiguration.of(MEMORY, 1))) {
      PreparedGuest guest =
          preparation.prepare(
              new GuestRequest(
                  null,
                  null,
                  List.of(),
                  List.of(),
                  command.toString(),
                  // Caches of one size would be one.
                  "slab_nomerge",
                  null,
                  false));
      GuestSession session =
          new GuestSession(
              machine,
              guest.assignment(),
              MOST_INSTRUCTIONS,
              java.io.OutputStream.nullOutputStream(),
              output,
              false);
      guest.loadInto(machine);
      while (!session.started()) {
        assertTrue(session.advance(STEP).isEmpty(), "the guest starts its command");
      }
      Processor processor = machine.processors().getFirst();
      long delta = processor.state().lstar - linked.require("entry_SYSCALL_64");
      symbols = linked.relocated(delta);
      StackUnwinder unwinder =
          new StackUnwinder(OrcTable.of(image).orElseThrow().relocated(delta), symbols);
      setProbes(machine, processor, symbols, unwinder);
      assertEquals(new StopReason.PowerOff(), session.runToEnd());
    }
    check(symbols, image.types());
  }

  private void setProbes(
      Machine machine, Processor processor, SymbolTable symbols, StackUnwinder unwinder) {
    long[] frames = new long[DEEPEST];
    GuestMemory memory = new GuestMemory(processor);
    machine
        .probes()
        .setCodeProbe(
            processor,
            symbols.require("proc_pid_stack"),
            p -> {
              int count = unwind(p, memory, unwinder, frames);
              for (int i = 1; i < count; i++) {
                ownStack.add(symbols.describe(frames[i]));
              }
            });
    for (String name : WATCHED) {
      if (symbols.find(name) == null) {
        // Not in every version.
        continue;
      }
      machine
          .probes()
          .setCodeProbe(
              processor,
              symbols.require(name),
              p -> walked(unwind(p, memory, unwinder, frames), symbols, unwinder, frames));
    }
  }

  private int unwind(
      Processor processor, KernelMemory memory, StackUnwinder unwinder, long[] frames) {
    long[] r = processor.state().r;
    return unwinder.unwind(memory, processor.state().rip, r[Slot.RSP], r[Slot.RBP], frames);
  }

  private void walked(int count, SymbolTable symbols, StackUnwinder unwinder, long[] frames) {
    walks++;
    Symbol last = symbols.at(frames[count - 1]);
    String root = last == null ? "none" : last.name();
    roots.merge(root, 1, Integer::sum);
    int entries = 0;
    List<String> names = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      names.add(symbols.describe(frames[i]));
      entries += names.getLast().startsWith("asm_") ? 1 : 0;
    }
    nested += entries > 1 || entries == 1 && ROOTS.contains(root) ? 1 : 0;
    if (unwinder.guessed() || !ROOTS.contains(root) && !root.startsWith("asm_")) {
      incomplete.add(names.toString());
    }
  }

  private void check(SymbolTable symbols, TypeTable types) {
    List<String> lines = output.toString(StandardCharsets.UTF_8).lines().toList();
    List<String> kernelsStack = new ArrayList<>();
    List<String> rest = new ArrayList<>();
    for (String line : lines) {
      if (line.startsWith("[<0>] ")) {
        kernelsStack.add(line.substring(6).replaceAll("/0x.*", ""));
      } else {
        rest.add(line);
      }
    }
    assertEquals(
        "%016x T _text".formatted(symbols.require("_text")), rest.getFirst(), lines.toString());
    assertEquals(digest(symbols) + "  -", rest.get(1));
    for (String line : rest.subList(2, rest.size())) {
      String[] words = line.split(" ");
      assertEquals(
          Integer.parseInt(words[2]), types.sizeOf(CACHES.get(words[1])), "size of " + words[1]);
    }
    // The kernel begins its trace in proc_pid_stack itself; the probe stands before that.
    assertEquals(kernelsStack.subList(1, kernelsStack.size()), ownStack);
    assertTrue(walks > 1000, "walks " + walks);
    assertTrue(nested > 10, "interrupts of the kernel: " + nested);
    assertEquals(Set.of(), incomplete, "walks that guessed or ended early; all roots: " + roots);
  }

  /** Digest of /proc/kallsyms as the kernel prints it. */
  private static String digest(SymbolTable symbols) {
    StringBuilder text = new StringBuilder();
    for (Symbol symbol : symbols.all()) {
      text.append("%016x %c %s%n".formatted(symbol.address(), symbol.type(), symbol.name()));
    }
    try {
      return HexFormat.of()
          .formatHex(
              MessageDigest.getInstance("SHA-256")
                  .digest(text.toString().getBytes(StandardCharsets.UTF_8)));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }
}
