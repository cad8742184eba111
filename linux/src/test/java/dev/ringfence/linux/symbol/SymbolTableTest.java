package dev.ringfence.linux.symbol;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Lookups by name and address. */
final class SymbolTableTest {
  private static final long BASE = 0xffffffff81000000L;

  private final SymbolTable table =
      SymbolTable.of(
          List.of(
              new Symbol("_end", BASE + 0x3000, 'B'),
              new Symbol("_text", BASE, 'T'),
              new Symbol("startup_64", BASE, 'T'),
              new Symbol("cleanup", BASE + 0x100, 't'),
              new Symbol("do_syscall_64", BASE + 0x200, 'T'),
              new Symbol("cleanup", BASE + 0x300, 't'),
              new Symbol("twice", BASE + 0x400, 't'),
              new Symbol("twice", BASE + 0x500, 'T'),
              new Symbol("current_task", 0x1fb80, 'A')),
          BASE,
          BASE + 0x3000);

  @Test
  void theGlobalOneOfEqualNamesIsMeantElseTheLowest() {
    assertEquals(BASE + 0x100, table.require("cleanup"));
    assertEquals(BASE + 0x500, table.require("twice"));
    assertEquals(OptionalLong.empty(), table.address("missing"));
  }

  @Test
  void anUnknownNameIsAnErrorThatNamesTheNearest() {
    String message =
        assertThrows(BadInputException.class, () -> table.require("do_sycall_64")).getMessage();
    assertTrue(message.endsWith("nearest: do_syscall_64"), message);
    assertEquals(List.of("twice"), table.nearest("twise", 1));
  }

  @Test
  void anAddressIsDescribedByTheSymbolBeforeIt() {
    assertEquals("_text", table.describe(BASE));
    assertEquals("do_syscall_64+0xff", table.describe(BASE + 0x2ff));
    assertEquals("0xffffffff80ffffff", table.describe(BASE - 1));
    assertEquals("0xffffffff81003000", table.describe(BASE + 0x3000));
    assertEquals("0x1fb80", table.describe(0x1fb80));
    assertNull(table.at(0));
    assertNull(table.at(-1));
  }

  @Test
  void absoluteSymbolsStayWhenTheKernelMoves() {
    SymbolTable moved = table.relocated(0x1c00000);
    assertEquals(0x1fb80, moved.require("current_task"));
    assertEquals(BASE + 0x1c00200, moved.require("do_syscall_64"));
    assertEquals("do_syscall_64+0x1", moved.describe(BASE + 0x1c00201));
    assertNull(moved.at(BASE + 0x200));
    assertEquals(table.all(), moved.relocated(-0x1c00000).all());
    assertTrue(moved.isPerCpu(Objects.requireNonNull(moved.find("current_task"))));
  }

  @Test
  void lookupsByAddressAreThoseOfASortedMap() {
    Random random = new Random(17);
    for (int run = 0; run < 50; run++) {
      TreeMap<Long, String> expected = new TreeMap<>();
      for (int i = random.nextInt(1, 200); i > 0; i--) {
        expected.put(BASE + random.nextInt(1 << 16), "s" + i);
      }
      SymbolTable symbols =
          SymbolTable.of(
              expected.entrySet().stream()
                  .map(entry -> new Symbol(entry.getValue(), entry.getKey(), 'T'))
                  .toList(),
              BASE,
              BASE + (1 << 16));
      for (int i = 0; i < 500; i++) {
        long address = BASE + random.nextInt(1 << 16);
        Map.Entry<Long, String> entry = expected.floorEntry(address);
        Symbol found = symbols.at(address);
        assertEquals(entry == null ? null : entry.getValue(), found == null ? null : found.name());
      }
    }
  }
}
