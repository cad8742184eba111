package dev.ringfence.lab.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.image.KernelPayload;
import dev.ringfence.linux.stack.OrcTable;
import dev.ringfence.linux.symbol.Symbol;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.linux.type.TypeTable;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.BeforeParameterizedClassInvocation;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.ValueSource;

/** Image files of Debian's kernels, against their own initialized data and against objdump. */
@Tag("slow")
@ParameterizedClass
@ValueSource(strings = {GuestPreparation.CLOUD_KERNEL, GuestPreparation.GENERIC_KERNEL})
final class DebianKernelImageTest {
  private static final Pattern CALL = Pattern.compile("\\bcall\\s+0x([0-9a-f]{16})");
  private static final int DISASSEMBLED = 1 << 20;

  private static byte[] file = {};
  private static KernelImage image;
  private static SymbolTable symbols;
  private static TypeTable types;

  @Parameter private String metapackage = "";

  @TempDir private Path folder;

  @BeforeParameterizedClassInvocation
  static void read(String metapackage) throws IOException {
    Path path = new GuestPreparation(GuestCache.ofUser(), line -> {}).kernelImage(metapackage);
    file = Files.readAllBytes(path);
    image = KernelImage.of(file, path.getFileName().toString());
    symbols = image.symbols();
    types = image.types();
  }

  private static ByteBuffer bytes(long address, int length) {
    return ByteBuffer.wrap(image.read(address, length)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static long pointer(String symbol, String struct, String path) {
    return bytes(symbols.require(symbol) + types.offsetOf(struct, path), 8).getLong();
  }

  private static String text(long address, int length) {
    return StandardCharsets.US_ASCII.decode(bytes(address, length)).toString();
  }

  @Test
  void theVersionIsThatOfTheSetupHeader() {
    // kernel_version: the offset, less 512, of a text that begins with the release.
    ByteBuffer header = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    int at = header.getShort(0x20e) + 512;
    String version = new String(file, at, 100, StandardCharsets.US_ASCII);
    assertTrue(version.startsWith(image.release() + " "), version);
    assertTrue(image.isAtLeast(6, 1));
    boolean cloud = metapackage.equals(GuestPreparation.CLOUD_KERNEL);
    assertEquals(cloud, image.release().endsWith("-cloud-amd64"), image.release());
    assertEquals(
        image.banner() + "\n", text(symbols.require("linux_banner"), image.banner().length() + 1));
  }

  @Test
  void structsThatTheCompilerInitializedHoldWhatTheTypesSay() {
    long task = symbols.require("init_task");
    assertEquals("swapper\0", text(task + types.offsetOf("task_struct", "comm"), 8));
    assertEquals(
        task + types.offsetOf("task_struct", "tasks"),
        pointer("init_task", "task_struct", "tasks.next"));
    assertEquals(
        task + types.offsetOf("task_struct", "children"),
        pointer("init_task", "task_struct", "children.prev"));
    assertEquals(task, pointer("init_task", "task_struct", "real_parent"));
    assertEquals(symbols.require("init_mm"), pointer("init_task", "task_struct", "active_mm"));
    assertEquals(symbols.require("init_files"), pointer("init_task", "task_struct", "files"));
    assertEquals(symbols.require("init_top_pgt"), pointer("init_mm", "mm_struct", "pgd"));
    assertEquals(symbols.require("init_fs"), pointer("init_task", "task_struct", "fs"));
    long name = pointer("ramfs_fs_type", "file_system_type", "name");
    assertEquals("ramfs\0", text(name, 6));
    assertEquals(
        "comm[3]", types.fieldAt("task_struct", types.offsetOf("task_struct", "comm") + 3));
    assertEquals(16, types.size("task_struct", "comm"));
  }

  @Test
  void callsLandOnSymbols() throws IOException {
    Path vmlinux = folder.resolve("vmlinux");
    Files.write(vmlinux, KernelPayload.extract(file, "kernel"));
    long start = symbols.require("_stext");
    Process objdump;
    try {
      objdump =
          new ProcessBuilder(
                  "objdump",
                  "-d",
                  "--no-show-raw-insn",
                  "--start-address=0x%x".formatted(start),
                  "--stop-address=0x%x".formatted(start + DISASSEMBLED),
                  vmlinux.toString())
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
    } catch (IOException e) {
      assumeTrue(false, "objdump is not installed");
      return;
    }
    int calls = 0;
    int hits = 0;
    try (BufferedReader lines =
        new BufferedReader(
            new InputStreamReader(objdump.getInputStream(), StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        Matcher matcher = CALL.matcher(line);
        if (matcher.find()) {
          long target = Long.parseUnsignedLong(matcher.group(1), 16);
          calls++;
          Symbol symbol = symbols.at(target);
          if (symbol != null && symbol.address() == target) {
            hits++;
          }
        }
      }
    }
    assertTrue(calls > 10_000, "calls " + calls);
    assertTrue(hits > calls * 0.999, "%d of %d calls".formatted(hits, calls));
  }

  @Test
  void everyFunctionHasAnEntryOfOrc() {
    OrcTable orc = OrcTable.of(image).orElseThrow();
    assertTrue(orc.size() > 100_000, "entries " + orc.size());
    assertEquals(symbols.require("_stext"), orc.firstAddress());
  }

  @Test
  void sectionsAndSymbolsAgree() {
    assertEquals(
        List.of(symbols.require("__start_orc_unwind_ip"), symbols.require("_text")),
        List.of(
            image.findArea(".orc_unwind_ip", "", "").orElseThrow().address(), image.linkBase()));
    Symbol perCpu = symbols.find("current_task");
    if (perCpu != null) {
      assertTrue(symbols.isPerCpu(perCpu));
      assertEquals(perCpu, symbols.relocated(0x1000000).find("current_task"));
    }
  }
}
