package dev.ringfence.lab.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.provenance.AllocationTracker;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.linux.provenance.ProvenanceReader;
import dev.ringfence.linux.running.PageTables;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.running.Task;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What is read of Debian's kernel from outside, against what the kernel says of itself: at one
 * instant a program in the guest has read /proc, and the machine looks.
 */
@Tag("slow")
final class ProvenanceTest {
  private static final int LOOK = 7;

  private static final String WORK =
      """
      echo 1 > /proc/sys/kernel/kptr_restrict
      find / -xdev > /dev/null 2>&1
      dd if=/dev/zero of=/tmp/file bs=64k count=64 2> /dev/null
      cp /tmp/file /tmp/copy; rm /tmp/copy
      seq 1 5000 | sort -r | tail -n 1
      testimony
      """;

  private static final Pattern VMALLOC =
      Pattern.compile(
          "0x([0-9a-f]{16})-0x([0-9a-f]{16}) +(\\d+) ([^ +]+)\\+0x[0-9a-f]+/0x[0-9a-f]+ ?(.*)");

  @TempDir private static Path folder;

  /** What was seen from outside, at the marker. */
  private static @Nullable Seen seen;

  /** The message for a kernel that is not up yet. */
  private static String refused = "";

  /** What the guest's program printed, by the first word of each line. */
  private static final Map<String, List<String>> SAID = new HashMap<>();

  private record Seen(
      Provenance[] pages,
      boolean[] known,
      boolean[] allocated,
      List<Task> tasks,
      Task current,
      long ownMm,
      Map<Long, Provenance> byAddress,
      Map<Long, String> modules,
      Map<Long, String> symbols) {}

  /** Flags of /proc/kpageflags, by their bits (include/uapi/linux/kernel-page-flags.h). */
  private enum Flag {
    SLAB(7),
    BUDDY(10),
    MAPPED(11),
    ANONYMOUS(12),
    SWAP_BACKED(14),
    NO_PAGE(20),
    ZERO_PAGE(24),
    PAGE_TABLE(26),
    RESERVED(32);

    private final int bit;

    Flag(int bit) {
      this.bit = bit;
    }

    boolean in(long flags) {
      return (flags >>> bit & 1) != 0;
    }
  }

  @BeforeAll
  static void runGuest() throws IOException, InterruptedException {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/gcc")), "gcc builds the guest's program");
    buildProgram();
    GuestRequest request =
        new GuestRequest(null, null, List.of(), List.of(folder), WORK, "", null, false);
    PreparedGuest guest = new GuestPreparation(GuestCache.ofUser(), line -> {}).prepare(request);
    Path image = Path.of(guest.image().file().name());
    KernelImage kernelImage = KernelImage.of(Files.readAllBytes(image), image.toString());
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    ByteArrayOutputStream console = new ByteArrayOutputStream();
    try (Machine machine = new Machine(MachineConfiguration.of(256L << 20, 2))) {
      refused =
          assertThrows(BadInputException.class, () -> RunningKernel.of(kernelImage, machine))
              .getMessage();
      GuestSession session =
          new GuestSession(machine, guest.assignment(), 20_000_000_000L, console, output, false);
      guest.loadInto(machine);
      while (!RunningKernel.isUp(machine)) {
        assertTrue(session.advance(1_000_000).isEmpty(), "the kernel comes up");
      }
      RunningKernel kernel = RunningKernel.of(kernelImage, machine);
      AllocationTracker tracker = new AllocationTracker(kernel);
      tracker.start();
      ProvenanceReader reader = new ProvenanceReader(kernel, tracker);
      machine
          .probes()
          .add(
              new Probe() {
                @Override
                public void marked(Processor processor, int operation, long argument) {
                  if (operation == LOOK) {
                    seen = look(processor, kernel, tracker, reader);
                  }
                }
              });
      session.runToEnd();
      assertEquals(
          0, session.commandStatus().orElse(-1), () -> console.toString(StandardCharsets.UTF_8));
    }
    for (String line : output.toString(StandardCharsets.UTF_8).split("\n")) {
      int space = line.indexOf(' ');
      if (space > 0) {
        SAID.computeIfAbsent(line.substring(0, space), word -> new ArrayList<>())
            .add(line.substring(space + 1));
      }
    }
  }

  private static void buildProgram() throws IOException, InterruptedException {
    Path source = Path.of(System.getProperty("ringfence.root"), "guest", "kernel", "testimony.c");
    Path program = Files.createDirectories(folder.resolve("bin")).resolve("testimony");
    Process gcc =
        new ProcessBuilder("gcc", "-O2", "-static", source.toString(), "-o", program.toString())
            .inheritIO()
            .start();
    assertTrue(gcc.waitFor(120, TimeUnit.SECONDS) && gcc.exitValue() == 0, "gcc");
  }

  private static Seen look(
      Processor processor,
      RunningKernel kernel,
      AllocationTracker tracker,
      ProvenanceReader reader) {
    reader.refresh();
    int count = (int) reader.pages();
    Provenance[] pages = new Provenance[count];
    boolean[] known = new boolean[count];
    boolean[] allocated = new boolean[count];
    for (int pfn = 0; pfn < count; pfn++) {
      pages[pfn] = reader.ofPage(pfn);
      known[pfn] = tracker.isKnown(pfn);
      allocated[pfn] = tracker.isAllocated(pfn);
    }
    Map<Long, Provenance> byAddress = new HashMap<>();
    PageTables.Visitor visitor =
        (linear, physical, bytes) -> {
          for (long offset = 0; offset < bytes; offset += 4096) {
            byAddress.put(linear + offset, reader.of(linear + offset, physical + offset));
          }
        };
    kernel.tables().visit(kernel.rootTable(), 0xffff_8000_0000_0000L, -1, visitor);
    Map<Long, String> modules = new HashMap<>();
    Map<Long, String> symbols = new HashMap<>();
    kernel
        .modules()
        .forEach(module -> {
          modules.put(module.ranges().getFirst().start(), module.name());
          module
              .symbols()
              .all()
              .forEach(symbol -> symbols.put(symbol.address(), kernel.describe(symbol.address())));
        });
    return new Seen(
        pages,
        known,
        allocated,
        kernel.tasks(),
        kernel.task(kernel.currentTask(processor.index())),
        kernel.currentMm(processor),
        byAddress,
        modules,
        symbols);
  }

  private static Seen seen() {
    return Objects.requireNonNull(seen, "the marker was reached");
  }

  private static List<String> said(String word) {
    return Objects.requireNonNull(SAID.get(word), () -> "the guest printed " + SAID.keySet());
  }

  @Test
  void aKernelThatIsNotUpYetIsRefused() {
    assertTrue(refused.endsWith("one that has not set its system call entry yet"), refused);
  }

  @Test
  void kindsOfPagesAgreeWithTheFlagsThatTheKernelShows() {
    List<String> wrong = new ArrayList<>();
    for (String line : said("flags")) {
      String[] words = line.split(" ");
      int first = Integer.parseInt(words[0], 16);
      int count = Integer.parseInt(words[1]);
      long flags = Long.parseUnsignedLong(words[2], 16);
      for (int pfn = first; pfn < Math.min(first + count, seen().pages.length); pfn++) {
        if (!agrees(pfn, flags)) {
          wrong.add("%x: %s, flags %x".formatted(pfn, seen().pages[pfn], flags));
        }
      }
    }
    // Between the kernel's look at its pages and ours a timer may have ticked.
    assertTrue(wrong.size() < 20, () -> wrong.size() + " of them: " + wrong.subList(0, 20));
  }

  private static boolean agrees(int pfn, long flags) {
    PageKind kind = seen().pages[pfn].kind();
    if (Flag.NO_PAGE.in(flags)) {
      return kind == PageKind.DEVICE || kind == PageKind.RESERVED;
    }
    if (Flag.ZERO_PAGE.in(flags)) {
      return kind == PageKind.ZERO_PAGE;
    }
    if (Flag.RESERVED.in(flags)) {
      return switch (kind) {
        case TEXT, RODATA, DATA, BSS, PER_CPU, PAGE_TABLE, VMEMMAP, RESERVED -> true;
        default -> false;
      };
    }
    if (Flag.SLAB.in(flags)) {
      return kind == PageKind.SLAB;
    }
    if (Flag.BUDDY.in(flags)) {
      return kind == PageKind.FREE && !seen().allocated[pfn];
    }
    if (Flag.PAGE_TABLE.in(flags)) {
      return kind == PageKind.PAGE_TABLE;
    }
    if (Flag.ANONYMOUS.in(flags)) {
      return kind == PageKind.ANONYMOUS;
    }
    if (Flag.SWAP_BACKED.in(flags)) {
      return kind == PageKind.SHARED_MEMORY;
    }
    return switch (kind) {
      case ANONYMOUS, SHARED_MEMORY, SLAB, RESERVED, ZERO_PAGE -> false;
      default -> true;
    };
  }

  @Test
  void everyPageInUseWasSeenWhenItWasAllocated() {
    List<String> wrong = new ArrayList<>();
    for (int pfn = 0; pfn < seen().pages.length; pfn++) {
      switch (seen().pages[pfn].kind()) {
        case FREE -> {
          if (seen().allocated[pfn]) {
            wrong.add("%x is free and was not seen freed".formatted(pfn));
          }
        }
        case ANONYMOUS,
            SHARED_MEMORY,
            SLAB,
            TASK_STACK,
            VMALLOC,
            MODULE,
            LARGE_KMALLOC,
            KERNEL_ALLOCATION,
            USER_ALLOCATION -> {
          if (!seen().known[pfn] || !seen().allocated[pfn]) {
            wrong.add("%x: %s was not seen allocated".formatted(pfn, seen().pages[pfn]));
          }
        }
        default -> {}
      }
    }
    assertEquals(List.of(), wrong);
  }

  @Test
  void slabsOfEachCacheAreAsManyAsSlabinfoSays() {
    Map<String, Integer> found = new TreeMap<>();
    for (Provenance page : seen().pages) {
      if (page.kind() == PageKind.SLAB) {
        found.merge(page.name(), 1, Integer::sum);
      }
    }
    for (String line : said("slabinfo")) {
      String[] words = line.trim().split("\\s+");
      if (words.length < 16 || words[0].startsWith("#")) {
        continue;
      }
      int pagesOfSlab = Integer.parseInt(words[5]);
      int expected = Integer.parseInt(words[14]) * pagesOfSlab;
      int pages = found.getOrDefault(words[0], 0);
      assertTrue(
          Math.abs(pages - expected) <= 2 * pagesOfSlab,
          () -> "%s: expected %d pages, found %d".formatted(words[0], expected, pages));
      found.remove(words[0]);
    }
    assertEquals(Map.of(), found, "caches that slabinfo does not have");
  }

  @Test
  void vmallocAreasHaveTheirCallersNames() {
    int stacks = 0;
    int devices = 0;
    int others = 0;
    int gone = 0;
    for (String line : said("vmallocinfo")) {
      Matcher matcher = VMALLOC.matcher(line);
      if (!matcher.matches()) {
        continue;
      }
      Provenance page = seen().byAddress.get(Long.parseUnsignedLong(matcher.group(1), 16));
      String caller = matcher.group(4);
      if (page == null) {
        // Per-CPU chunks are filled on demand; stacks go when their tasks have ended.
        gone += caller.startsWith("pcpu_") ? 0 : 1;
      } else if (matcher.group(5).contains("ioremap")) {
        devices += page.kind() == PageKind.DEVICE ? 1 : 0;
        assertEquals(caller, page.name(), line);
      } else if (caller.equals("kernel_clone") || caller.equals("fork_idle")) {
        stacks++;
        assertEquals(PageKind.TASK_STACK, page.kind(), line);
      } else if (page.kind() != PageKind.MODULE) {
        others++;
        assertEquals(caller, page.name(), line);
      }
    }
    assertTrue(
        stacks > 30 && devices > 3 && others > 3 && gone < 4,
        "%d stacks, %d devices, %d others, %d gone".formatted(stacks, devices, others, gone));
  }

  @Test
  void modulesAndTheirSymbolsAreWhereTheKernelSaysTheyAre() {
    Map<Long, String> modules = new HashMap<>();
    for (String line : said("modules")) {
      String[] words = line.split(" ");
      modules.put(Long.parseUnsignedLong(words[words.length - 1].substring(2), 16), words[0]);
    }
    assertFalse(modules.isEmpty());
    assertEquals(modules, seen().modules);
    modules.forEach((address, name) -> {
      Provenance page = Objects.requireNonNull(seen().byAddress.get(address));
      assertEquals(PageKind.MODULE, page.kind());
      assertEquals(name, page.name());
    });
    int functions = 0;
    for (String line : said("kallsyms")) {
      String[] words = line.split("[ \t]+");
      if (words[1].equalsIgnoreCase("t")
          && modules.containsValue(words[3].replaceAll("[\\[\\]]", ""))) {
        functions++;
        String name = seen().symbols.get(Long.parseUnsignedLong(words[0], 16));
        assertTrue(name != null && name.endsWith(words[3]), () -> line + ": found " + name);
      }
    }
    assertTrue(functions > 100, "functions of modules");
  }

  @Test
  void tasksAreThoseOfProc() {
    Map<Integer, String> expected = new TreeMap<>();
    for (String line : said("task")) {
      String[] words = line.split(" ", 2);
      // Names of workers change with their work.
      expected.put(
          Integer.parseInt(words[0]), words[1].startsWith("kworker") ? "kworker" : words[1]);
    }
    Map<Integer, String> found = new TreeMap<>();
    for (Task task : seen().tasks) {
      if (task.pid() != 0) {
        found.put(task.pid(), task.name().startsWith("kworker") ? "kworker" : task.name());
      }
    }
    assertEquals(expected, found);
    assertEquals("testimony", seen().current.name());
    assertEquals(seen().current.mm(), seen().ownMm);
  }

  @Test
  void memoryOfAProcessIsItsOwn() {
    Map<String, Provenance> own = new HashMap<>();
    for (String line : said("self")) {
      String[] words = line.split(" ");
      own.put(words[0], seen().pages[Integer.parseInt(words[1], 16)]);
    }
    assertEquals(new Provenance(PageKind.ANONYMOUS, "", seen().ownMm, true), own.get("anonymous"));
    assertEquals(new Provenance(PageKind.SHARED_MEMORY, "dev/zero", 0, true), own.get("shared"));
    assertEquals(new Provenance(PageKind.SHARED_MEMORY, "/shared-file", 0, true), own.get("file"));
  }

  @Test
  void everyPageThatTheKernelMapsIsIdentified() {
    TreeSet<String> kinds = new TreeSet<>();
    seen()
        .byAddress
        .forEach((address, page) -> {
          kinds.add(page.kind().id());
          assertTrue(page.kind() != PageKind.UNKNOWN, () -> Long.toHexString(address));
        });
    assertTrue(
        kinds.containsAll(
            List.of(
                "text",
                "rodata",
                "data",
                "bss",
                "module",
                "per-cpu",
                "cpu-entry-area",
                "vmemmap",
                "page-table",
                "task-stack",
                "slab",
                "large-kmalloc",
                "vmalloc",
                "device",
                "anonymous",
                "shared-memory",
                "kernel-allocation",
                "free",
                "reserved",
                "zero-page")),
        kinds::toString);
  }
}
