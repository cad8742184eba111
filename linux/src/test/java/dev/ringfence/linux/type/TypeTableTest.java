package dev.ringfence.linux.type;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.OptionalLong;
import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** BTF that gcc made of a C file, against what its offsetof and sizeof say. */
final class TypeTableTest {
  private static final String SOURCE =
      """
      typedef unsigned char u8;
      typedef unsigned short u16;
      typedef unsigned long u64;
      typedef struct { int counter; } atomic_t;
      struct list_head { struct list_head *next, *prev; };
      enum color { RED, GREEN = 7, BLUE = -3 };
      union value { u8 small; u64 large; struct list_head list; };
      struct inner { u16 first; atomic_t count; volatile const enum color color; };
      typedef struct inner inner_t;
      struct outer {
        u8 tag;
        struct {
          u16 hidden;
          union { struct list_head lru; struct { u64 private; u64 index; }; };
        };
        union value value;
        char comm[16];
        inner_t table[6];
        unsigned int low : 3, middle : 7, : 2, high : 1;
        u64 wide : 40;
        struct outer *parent;
        int (*function)(struct inner *);
        struct inner last;
        struct list_head lists[];
      };
      """;

  private static final List<String> MEMBERS =
      List.of(
          "tag",
          "hidden",
          "lru",
          "lru.prev",
          "private",
          "index",
          "value",
          "value.list.prev",
          "comm",
          "comm[3]",
          "table",
          "table[5]",
          "table[2].count.counter",
          "parent",
          "function",
          "last",
          "last.color",
          "lists[4].prev");

  @TempDir private static Path folder;
  private static byte[] btf = {};
  private static List<String> compiled = List.of();

  @BeforeAll
  static void compile() throws IOException, InterruptedException {
    StringBuilder program = new StringBuilder("int printf(const char *, ...);\n" + SOURCE);
    program.append("struct outer o; inner_t i; enum color c;\nint main(void) {\n");
    for (String member : MEMBERS) {
      program.append(
          "printf(\"%%d %%d\\n\", (int) __builtin_offsetof(struct outer, %s), (int) sizeof o.%s);\n"
              .formatted(member, member));
    }
    program.append(
        "printf(\"%d %d %d %d\\n\", (int) sizeof o, (int) sizeof i, (int) sizeof c, (int) sizeof(u64));\n");
    // Each bit field, all ones.
    for (String field : List.of("low", "middle", "high", "wide")) {
      program.append(
          "{ struct outer z = {0}; z.%s = -1; for (int k = 0; k < sizeof z; k++) printf(\"%%02x\", ((u8 *) &z)[k]); printf(\"\\n\"); }\n"
              .formatted(field));
    }
    Path source = Files.writeString(folder.resolve("types.c"), program.append("}\n"));
    assumeTrue(
        run("gcc", "-w", "-gbtf", "-c", "-o", "types.o", source.toString()), "no gcc with -gbtf");
    assumeTrue(run("gcc", "-w", "-o", "types", source.toString()));
    assumeTrue(
        run(
            "objcopy",
            "-O",
            "binary",
            "--set-section-flags",
            ".BTF=alloc",
            "-j",
            ".BTF",
            "types.o",
            "btf"));
    btf = Files.readAllBytes(folder.resolve("btf"));
    assertTrue(run("./types"));
    compiled = Files.readAllLines(folder.resolve("output"));
  }

  private static boolean run(String... command) throws InterruptedException {
    try {
      return new ProcessBuilder(command)
              .directory(folder.toFile())
              .redirectOutput(folder.resolve("output").toFile())
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start()
              .waitFor()
          == 0;
    } catch (IOException e) {
      return false;
    }
  }

  private static TypeTable table() {
    return TypeTable.of(btf, "types.o");
  }

  @Test
  void offsetsAndSizesAreThoseOfTheCompiler() {
    TypeTable types = table();
    List<String> found = new ArrayList<>();
    for (String member : MEMBERS) {
      assertTrue(types.has("outer", member), member);
      found.add(types.offsetOf("outer", member) + " " + types.size("outer", member));
    }
    found.add(
        "%d %d %d %d"
            .formatted(
                types.sizeOf("outer"),
                types.sizeOf("inner_t"),
                types.sizeOf("color"),
                types.sizeOf("u64")));
    assertEquals(compiled.subList(0, found.size()), found);
  }

  @Test
  void bitFieldsAreTheBitsThatTheCompilerSets() {
    TypeTable types = table();
    List<String> found = new ArrayList<>();
    for (String field : List.of("low", "middle", "high", "wide")) {
      BitField bits = types.bits("outer", field);
      byte[] object = new byte[types.sizeOf("outer")];
      for (int bit = bits.shift(); bit < bits.shift() + bits.width(); bit++) {
        object[bits.byteOffset() + bit / 8] |= (byte) (1 << bit % 8);
      }
      found.add(HexFormat.of().formatHex(object));
    }
    assertEquals(compiled.subList(compiled.size() - 4, compiled.size()), found);
    assertEquals(5, new BitField(0, 3, 4).extract(5 << 3 | 0xffffff87L));
    assertEquals(-1, new BitField(0, 0, 64).extract(-1));
  }

  @Test
  void aPlaceInAStructIsNamedByItsPath() {
    TypeTable types = table();
    for (String member : List.of("tag", "hidden", "lru.prev", "comm[3]", "parent", "last.color")) {
      assertEquals(member, types.fieldAt("outer", types.offsetOf("outer", member)));
    }
    assertEquals(
        "table[2].count.counter",
        types.fieldAt("outer", types.offsetOf("outer", "table[2].count.counter")));
    // The first arm of a union that reaches as far.
    assertEquals("lru.next", types.fieldAt("outer", types.offsetOf("outer", "private") + 3));
    assertEquals("value.small", types.fieldAt("outer", types.offsetOf("outer", "value")));
    assertEquals("value.large", types.fieldAt("outer", types.offsetOf("outer", "value") + 1));
    assertEquals("low", types.fieldAt("outer", types.offsetOf("outer", "low")));
    assertEquals("<hole>", types.fieldAt("outer", 1));
    assertEquals("lists[4].prev", types.fieldAt("outer", types.offsetOf("outer", "lists[4].prev")));
    assertEquals("<hole>", types.fieldAt("inner", 1 << 20));
  }

  @Test
  void enumeratorsHaveTheirValues() {
    assertEquals(OptionalLong.of(7), table().enumValue("GREEN"));
    assertEquals(OptionalLong.of(-3), table().enumValue("BLUE"));
    assertEquals(OptionalLong.empty(), table().enumValue("YELLOW"));
  }

  @Test
  void unknownNamesAreErrorsThatNameTheNearest() {
    TypeTable types = table();
    assertFalse(types.hasStruct("u64"));
    assertTrue(types.hasStruct("inner_t"));
    assertRefused("nearest: comm", () -> types.offsetOf("outer", "com"));
    assertRefused("nearest: counter", () -> types.offsetOf("outer", "last.count.conter"));
    assertRefused("nearest: hidden", () -> types.offsetOf("outer", "hiden"));
    assertRefused("nearest: outer", () -> types.sizeOf("outter"));
    for (String path : List.of("comm[16]", "comm[x]", "comm[", "tag[0]", "parent.tag", "", ".")) {
      assertFalse(types.has("outer", path), path);
      assertRefused("expected a member", () -> types.offsetOf("outer", path));
    }
    assertRefused("to lie in 8 bytes", () -> types.bits("outer", "comm"));
  }

  private static void assertRefused(String expected, Runnable lookup) {
    String message = assertThrows(BadInputException.class, lookup::run).getMessage();
    assertTrue(message.startsWith("types.o: "), message);
    assertTrue(message.contains(expected), message);
  }

  @Test
  void damagedTypesNeitherHangNorCrash() {
    Random random = new Random(23);
    for (int i = 0; i < 20_000; i++) {
      byte[] damaged = btf.clone();
      for (int k = random.nextInt(1, 6); k > 0; k--) {
        damaged[random.nextInt(damaged.length)] = (byte) random.nextInt(i % 2 == 0 ? 256 : 24);
      }
      useAll(i % 3 == 0 ? Arrays.copyOf(damaged, random.nextInt(btf.length)) : damaged);
    }
  }

  private static void useAll(byte[] damaged) {
    try {
      TypeTable types = TypeTable.of(damaged, "types.o");
      for (String struct : List.of("outer", "inner", "value", "list_head")) {
        if (types.hasStruct(struct)) {
          types.fieldAt(struct, 100);
          types.has(struct, "table[2].count.counter");
          types.offsetOf(struct, "lru.prev");
        }
      }
    } catch (BadInputException e) {
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }
  }

  @Test
  void structsThatContainThemselvesAreRefused() {
    // Two anonymous members of the struct's own type: 2^n ways to a depth of n.
    byte[] strings = "\0loop\0".getBytes(StandardCharsets.US_ASCII);
    ByteBuffer section =
        ByteBuffer.allocate(24 + 36 + strings.length).order(ByteOrder.LITTLE_ENDIAN);
    section.putShort((short) 0xeb9f).put((byte) 1).put((byte) 0).putInt(24);
    section.putInt(0).putInt(36).putInt(36).putInt(strings.length);
    section.putInt(1).putInt(4 << 24 | 2).putInt(8);
    section.putInt(0).putInt(1).putInt(0);
    section.putInt(0).putInt(1).putInt(0);
    section.put(strings);
    TypeTable types = TypeTable.of(section.array(), "types.o");
    assertRefused("deep", () -> types.has("loop", "missing"));
    assertRefused("deep", () -> types.fieldAt("loop", 0));
  }
}
