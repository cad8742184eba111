package dev.ringfence.isolation.table;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.MonitorMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.PageWalker;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class RestrictedTablesTest {
  private static final long BASE = 1L << 45;
  private static final long SEED = 20261124;
  private static final int STEPS = 200_000;
  private static final int PHYSICAL_BITS = 46;

  private final PhysicalMemory guest = new PhysicalMemory(64 << 20);
  private final MonitorMemory memory = new MonitorMemory(guest, BASE, 64 << 20);
  private final RestrictedTables tables = new RestrictedTables(memory);
  private final ProcessorState state = new ProcessorState();
  private final PageWalker walker = new PageWalker(memory, PHYSICAL_BITS);

  RestrictedTablesTest() {
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_WP;
    state.cr4 = ControlBits.CR4_PAE;
    state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE;
  }

  @AfterEach
  void giveMemoryBack() {
    memory.close();
    guest.close();
  }

  /** What the tables should hold: for everybody, and for each domain beside it. */
  private static final class Model {
    final Map<Long, Long> global = new TreeMap<>();
    final Map<Long, Map<Long, Long>> local = new HashMap<>();

    long entry(long root, long linear) {
      Long own = local.get(root).get(linear);
      return own != null ? own : global.getOrDefault(linear, 0L);
    }
  }

  private static long linear(SplittableRandom random) {
    // Few branches, so that tables are shared, copied and met again: 4 x 2 x 3 x 16 pages.
    long at = 0xffff_8000_0000_0000L;
    at += (long) random.nextInt(4) * 63 << 39;
    at += (long) random.nextInt(2) * 511 << 30;
    at += (long) random.nextInt(3) * 200 << 21;
    return at + ((long) random.nextInt(16) * 33 << 12);
  }

  private static long entry(SplittableRandom random) {
    return (long) (1 + random.nextInt(1 << 14)) << 12
        | RestrictedTables.PRESENT
        | RestrictedTables.ACCESSED_DIRTY
        | (random.nextBoolean() ? RestrictedTables.WRITABLE : 0)
        | (random.nextBoolean() ? RestrictedTables.NO_EXECUTE : 0);
  }

  @Test
  void tablesAgreeWithAPlainModelUnderRandomOperations() {
    SplittableRandom random = new SplittableRandom(SEED);
    Model model = new Model();
    List<Long> roots = new ArrayList<>();
    for (int step = 0; step < STEPS; step++) {
      String at = "step %d of seed %d (RestrictedTablesTest)".formatted(step, SEED);
      long linear = linear(random);
      int operation = random.nextInt(100);
      if (roots.isEmpty() || operation == 0 && roots.size() < 6) {
        long root = tables.createRoot();
        roots.add(root);
        model.local.put(root, new HashMap<>());
      } else if (operation == 1) {
        long root = roots.remove(random.nextInt(roots.size()));
        tables.destroyRoot(root);
        model.local.remove(root);
      } else if (operation < 30) {
        long entry = entry(random);
        tables.mapGlobal(linear, entry);
        model.global.put(linear, entry);
        // Everybody's mapping replaces a domain's own: a page has one disposition at a time.
        model.local.values().forEach(own -> own.remove(linear));
      } else if (operation < 45) {
        long root = roots.get(random.nextInt(roots.size()));
        if (!model.global.containsKey(linear)) {
          long entry = entry(random);
          tables.mapLocal(root, linear, entry);
          model.local.get(root).put(linear, entry);
        }
      } else if (operation < 60) {
        boolean was =
            model.global.remove(linear) != null
                | model.local.values().stream().filter(own -> own.remove(linear) != null).count()
                    > 0;
        assertEquals(was, tables.unmap(linear), at);
      } else {
        long root = roots.get(random.nextInt(roots.size()));
        long expected = model.entry(root, linear);
        if (tables.entry(root, linear) == 0) {
          assertEquals(expected != 0, tables.synchronize(root, linear), at);
        }
        assertEquals(expected, tables.entry(root, linear), at);
        check(root, linear, expected, at);
      }
    }
    for (long root : roots) {
      Map<Long, Long> held = new TreeMap<>();
      tables.forEach(root, held::put);
      held.forEach((linear, entry) -> assertEquals(model.entry(root, linear), entry));
      model.local.get(root).forEach((linear, entry) -> assertEquals(entry, held.get(linear)));
    }
    Map<Long, Long> everything = new TreeMap<>(model.global);
    model.local.values().forEach(everything::putAll);
    Map<Long, Long> visited = new TreeMap<>();
    tables.forEachOfAll(visited::put);
    assertEquals(everything.keySet(), visited.keySet());
  }

  /** The machine's walker finds in the tables what the entry says. */
  private void check(long root, long linear, long entry, String at) {
    boolean present = entry != 0;
    assertEquals(present, walker.walk(state, root, linear, 0, false, true), at);
    if (present) {
      assertEquals(entry & RestrictedTables.ADDRESS, walker.frame(), at);
      assertEquals((entry & RestrictedTables.WRITABLE) != 0, walker.writable(), at);
      assertEquals((entry & RestrictedTables.NO_EXECUTE) != 0, walker.noExecute(), at);
    }
  }

  @Test
  void lowerHalfIsThatOfTheGuestsTables() {
    long guestRoot = 0x3000;
    guest.writeLong(guestRoot, 0x5067);
    guest.writeLong(guestRoot + 255 * 8, 0x6067);
    guest.writeLong(guestRoot + 256 * 8, 0x7067);
    guest.writeLong(0x5000, 0x8067);
    guest.writeLong(0x8000, 0x9067);
    guest.writeLong(0x9000, 0xa067);
    long root = tables.createRoot();
    tables.shareLowerHalf(root, guestRoot);
    assertTrue(walker.walk(state, root, 0, 0, true, true));
    assertEquals(0xa000, walker.frame());
    assertFalse(walker.walk(state, root, 0xffff_8000_0000_0000L, 0, false, true));
    guest.writeLong(guestRoot, 0);
    tables.shareLowerHalf(root, guestRoot);
    assertFalse(walker.walk(state, root, 0, 0, true, true));
  }

  @Test
  void walksOfRestrictedTablesLeaveNoMarkInTheGuests() {
    long guestRoot = 0x3000;
    guest.writeLong(guestRoot, 0x5007);
    guest.writeLong(0x5000, 0x8007);
    guest.writeLong(0x8000, 0x9007);
    guest.writeLong(0x9000, 0xa007);
    long root = tables.createRoot();
    tables.shareLowerHalf(root, guestRoot);
    assertTrue(walker.walk(state, root, 0, PageWalker.WRITE, true, true));
    assertEquals(0x5007, guest.readLong(guestRoot));
    assertEquals(0xa007, guest.readLong(0x9000));
  }

  @Test
  void theGuestCannotReadTheTables() {
    long root = tables.createRoot();
    tables.mapGlobal(-4096, 0x1000 | RestrictedTables.PRESENT);
    assertTrue(memory.holds(root));
    assertFalse(guest.isRam(root, 8));
    assertEquals(-1L, guest.readLong(root), "an empty bus reads as ones");
  }

  @Test
  void tablesOfADomainGoBackWithIt() {
    long before = tables.tableBytes();
    long root = tables.createRoot();
    tables.mapLocal(root, -4096, 0x1000 | RestrictedTables.PRESENT);
    assertEquals(before + 4 * 4096, tables.tableBytes());
    tables.destroyRoot(root);
    assertEquals(before, tables.tableBytes());
    assertThrows(IllegalArgumentException.class, () -> tables.destroyRoot(root));
  }
}
