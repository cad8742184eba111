package dev.ringfence.machine.boot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.InitialState.Mode;
import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class BootImageTest {
  private static final long MEBIBYTE = 1 << 20;

  private PhysicalMemory memory = new PhysicalMemory(64 * MEBIBYTE);

  @AfterEach
  void close() {
    memory.close();
  }

  private void memoryOf(long bytes) {
    memory.close();
    memory = new PhysicalMemory(bytes);
  }

  private InitialState load(byte[] image, String commandLine, BootFile... initrds) {
    return load(image, Firmware.NONE, commandLine, initrds);
  }

  private InitialState load(
      byte[] image, Firmware firmware, String commandLine, BootFile... initrds) {
    return BootImage.of(BootFile.of("image", image))
        .load(memory, firmware, commandLine, List.of(initrds));
  }

  private String failure(byte[] image, BootFile... initrds) {
    return assertThrows(BadInputException.class, () -> load(image, "", initrds)).getMessage();
  }

  private String text(long address) {
    StringBuilder text = new StringBuilder();
    for (long at = address; memory.readByte(at) != 0; at++) {
      text.append((char) memory.readByte(at));
    }
    return text.toString();
  }

  private static BootFile initrd(int bytes) {
    byte[] content = new byte[bytes];
    for (int i = 0; i < bytes; i++) {
      content[i] = (byte) (i * 7);
    }
    return BootFile.of("initrd", content);
  }

  @Test
  void linuxStartsAtItsPreferredAddressInLongMode() {
    InitialState state = load(TestImages.linux(), "console=ttyS0");

    assertEquals(Mode.LONG, state.mode());
    assertEquals(TestImages.LINUX_PREFERRED + 0x200, state.rip());
    assertEquals(TestImages.LINUX_FILLER, memory.readByte(TestImages.LINUX_PREFERRED));
    assertEquals(0, memory.readByte(TestImages.LINUX_PREFERRED + 8192));
  }

  @Test
  void linuxFindsHeaderCommandLineAndRootPointerInItsBootParameters() {
    InitialState state =
        load(TestImages.linux(), new Firmware(0xe0010, List.of()), "console=ttyS0 quiet");

    assertEquals(0x53726448, memory.readInt(state.rsi() + 0x202));
    assertEquals((byte) 0xff, memory.readByte(state.rsi() + 0x210));
    assertEquals("console=ttyS0 quiet", text(memory.readInt(state.rsi() + 0x228)));
    assertEquals(0xe0010, memory.readLong(state.rsi() + 0x70));
    assertEquals(0, memory.readByte(state.rsi() + 0x1ef), "sentinel");
  }

  @Test
  void linuxIsToldItsMemory() {
    memoryOf(64 * MEBIBYTE);
    Firmware firmware =
        new Firmware(
            0xe0000,
            List.of(
                new MemoryRange(0xe0000, 0x20000, MemoryRange.Type.RESERVED),
                new MemoryRange(63 * MEBIBYTE, MEBIBYTE, MemoryRange.Type.ACPI_RECLAIMABLE)));
    InitialState state = load(TestImages.linux(), firmware, "");

    StringBuilder map = new StringBuilder();
    for (int i = 0; i < memory.readByte(state.rsi() + 0x1e8); i++) {
      long entry = state.rsi() + 0x2d0 + 20L * i;
      map.append(
          "%x+%x:%d "
              .formatted(
                  memory.readLong(entry), memory.readLong(entry + 8), memory.readInt(entry + 16)));
    }
    assertEquals(
        "0+9fc00:1 9fc00+400:2 e0000+20000:2 100000+3e00000:1 3f00000+100000:3 ", map.toString());
  }

  @Test
  void memoryAboveFourGibibytesIsInTheMapAndInThePageTables() {
    memoryOf(5L << 30);
    InitialState state = load(TestImages.linux(), "");

    long last = state.rsi() + 0x2d0 + 20L * (memory.readByte(state.rsi() + 0x1e8) - 1);
    assertEquals(4L << 30, memory.readLong(last));
    assertEquals(2L << 30, memory.readLong(last + 8));
    long pointers = memory.readLong(state.cr3()) & -4096;
    long directory = memory.readLong(pointers + 8 * 5) & -4096;
    assertEquals(0x17fe00000L | 0x83, memory.readLong(directory + 8 * 511));
    assertEquals(0, memory.readLong(pointers + 8 * 6));
  }

  @Test
  void theInitramfsLiesHighAndWhole() {
    BootFile file = initrd(10_001);
    InitialState state = load(TestImages.linux(), "", file);

    long at = memory.readInt(state.rsi() + 0x218);
    assertEquals(64 * MEBIBYTE - 12288, at);
    assertEquals(10_001, memory.readInt(state.rsi() + 0x21c));
    assertEquals((byte) (10_000 * 7), memory.readByte(at + 10_000));
  }

  @Test
  void partsOfAnInitramfsFollowEachOtherAtMultiplesOfFour() {
    InitialState state = load(TestImages.linux(), "", initrd(5), initrd(6));

    long at = memory.readInt(state.rsi() + 0x218);
    assertEquals(14, memory.readInt(state.rsi() + 0x21c));
    assertEquals(0, memory.readByte(at + 7));
    assertEquals(7, memory.readByte(at + 9));
  }

  @Test
  void theInitramfsRespectsTheKernelsLimit() {
    byte[] image = TestImages.with32(TestImages.linux(), 0x22c, 0x2ffffff);
    InitialState state = load(image, "", initrd(4096));

    assertEquals(0x2fff000, memory.readInt(state.rsi() + 0x218));
  }

  @Test
  void aRelocatableKernelMovesDownWhenMemoryIsSmall() {
    byte[] image = TestImages.with32(TestImages.linux(), 0x260, 50 << 20);
    assertEquals(0x200200, load(image, "").rip());
  }

  @Test
  void brokenLinuxImagesAreBadInput() {
    byte[] image = TestImages.linux();

    assertEquals(
        "image: at offset 0x600: expected 64-bit kernel of 0x1ff1 bytes, found a file of 0x1000"
            + " bytes (truncated?)",
        failure(Arrays.copyOf(image, 4096)));
    assertEquals(
        "image: at offset 0x236: expected a kernel with a 64-bit entry (x86-64), found one without"
            + " (built for 32-bit x86?)",
        failure(TestImages.with16(TestImages.linux(), 0x236, 0)));
    assertEquals(
        "image: at offset 0x206: expected boot protocol 2.12 or newer (Linux 3.8), found 2.04",
        failure(TestImages.with16(TestImages.linux(), 0x206, 0x204)));
  }

  @Test
  void whatDoesNotFitIsBadInput() {
    String tooSmall = failure(TestImages.with32(TestImages.linux(), 0x260, 100 << 20));
    assertTrue(tooSmall.startsWith("image: no room for the kernel"), tooSmall);
    assertTrue(tooSmall.endsWith("of 64 MiB (--memory gives the machine more)"), tooSmall);

    String tooLarge = failure(TestImages.linux(), initrd(65 << 20));
    assertTrue(
        tooLarge.startsWith("image: no room for the initramfs initrd: expected 66560"), tooLarge);

    String tooLong =
        assertThrows(BadInputException.class, () -> load(TestImages.linux(), "x".repeat(2048)))
            .getMessage();
    assertEquals(
        "--append: the kernel takes a command line of at most 2047 bytes, found 2048", tooLong);
  }

  @Test
  void aMultibootImageStartsByTheAddressesOfItsHeader() {
    InitialState state = load(TestImages.multiboot(), "a b", initrd(100));

    assertEquals(Mode.PROTECTED, state.mode());
    assertEquals(0x200030, state.rip());
    assertEquals(0x2badb002L, state.rax());
    assertEquals(48, memory.readByte(0x200030));
    long information = state.rbx();
    assertEquals("image a b", text(memory.readInt(information + 16)));
    assertEquals(1, memory.readInt(information + 20));
    long module = memory.readInt(information + 24);
    assertEquals(100, memory.readInt(module + 4) - memory.readInt(module));
    assertEquals("initrd", text(memory.readInt(module + 8)));
    assertEquals(0x27f, memory.readInt(information + 4));
    assertEquals((64 << 10) - 1024, memory.readInt(information + 8));
  }

  @Test
  void theMultibootMemoryMapTellsAllOfMemory() {
    InitialState state = load(TestImages.multiboot(), "");

    long at = memory.readInt(state.rbx() + 48) & 0xffffffffL;
    long end = at + memory.readInt(state.rbx() + 44);
    long usable = 0;
    while (at < end) {
      if (memory.readInt(at + 20) == 1) {
        usable += memory.readLong(at + 12);
      }
      at += memory.readInt(at) + 4L;
    }
    assertEquals(63 * MEBIBYTE + 0x9fc00, usable);
  }

  @Test
  void brokenMultibootImagesAreBadInput() {
    byte[] unknown = TestImages.multiboot();
    TestImages.with32(unknown, 20, 0x10008);
    TestImages.with32(unknown, 24, -(0x1badb002 + 0x10008));
    assertEquals(
        "image: at offset 0x14: expected Multiboot requirements 0 and 1 at most (there is no"
            + " video), found flags 0x10008",
        failure(unknown));
    assertTrue(
        failure(TestImages.with32(TestImages.multiboot(), 44, 0x300000))
            .startsWith("image: at offset 0x2c: expected entry_addr inside the image"));
    assertTrue(
        failure(TestImages.with32(TestImages.multiboot(), 40, 0x40000000))
            .startsWith("image: the Multiboot image wants memory 0x200000 to 0x40000000"));
  }

  @Test
  void elfExecutablesStartInTheModeOfTheirClass() {
    InitialState narrow = load(TestImages.elf(false), "");
    assertEquals(Mode.PROTECTED, narrow.mode());
    assertEquals(0x100004, narrow.rip());
    assertEquals(4, memory.readByte(0x100004));
    memoryOf(64 * MEBIBYTE);
    InitialState wide = load(TestImages.elf(true), "");
    assertEquals(Mode.LONG, wide.mode());
    assertEquals(0x100004, wide.rip());
    assertEquals(0x2badb002L, wide.rax());
  }

  @Test
  void anEntryGivenAsVirtualAddressIsTranslated() {
    byte[] image = TestImages.with64(TestImages.elf(true), 80, 0xffffffff80000000L);
    TestImages.with64(image, 24, 0xffffffff80000008L);
    assertEquals(0x100008, load(image, "").rip());
  }

  @Test
  void aPvhNoteIsEnteredInProtectedModeWithStartInformation() {
    InitialState state =
        load(TestImages.pvh(0x100008), new Firmware(0xe0000, List.of()), "x", initrd(10));

    assertEquals(Mode.PROTECTED, state.mode());
    assertEquals(0x100008, state.rip());
    assertEquals(0x336ec578, memory.readInt(state.rbx()));
    assertEquals("x", text(memory.readLong(state.rbx() + 24)));
    assertEquals(0xe0000, memory.readLong(state.rbx() + 32));
    assertEquals(1, memory.readInt(state.rbx() + 12));
  }

  @Test
  void brokenElfFilesAreBadInput() {
    assertEquals(
        "image: at offset 0x12: expected ELF machine 3 (i386) or 62 (x86-64), found 183 (another"
            + " architecture)",
        failure(TestImages.with16(TestImages.elf(true), 18, 183)));
    assertEquals(
        "image: at offset 0x200: expected ELF segment of 0x10 bytes, found a file of 0x208 bytes"
            + " (truncated?)",
        failure(Arrays.copyOf(TestImages.elf(true), 0x208)));
    assertEquals(
        "image: at offset 0x18: expected an ELF entry inside a loaded segment, found 0x900000",
        failure(TestImages.with64(TestImages.elf(true), 24, 0x900000)));
    assertTrue(
        failure(TestImages.with64(TestImages.elf(true), 88, 0xfee00000L))
            .startsWith("image: the ELF segment wants memory 0xfee00000"));
    byte[] twice = TestImages.with16(TestImages.elf(true), 56, 2);
    System.arraycopy(twice, 64, twice, 64 + 56, 56);
    assertTrue(failure(twice).contains("overlaps the ELF segment at 0x100000"), failure(twice));
  }

  @Test
  void otherFilesAreNamed() {
    assertTrue(failure(new byte[0]).endsWith("found an empty file"));
    byte[] arm = TestImages.with32(new byte[64], 56, 0x644d5241);
    assertTrue(failure(arm).endsWith("found a Linux kernel for arm64"));
    byte[] gzip = {0x1f, (byte) 0x8b, 8};
    assertTrue(failure(gzip).contains("gzip"));
  }

  @Test
  void theStateIsThatOfLongModeWithInterruptsOff() {
    ProcessorState state = new ProcessorState();
    load(TestImages.linux(), "").applyTo(state);

    assertEquals(ControlBits.CR0_PE | ControlBits.CR0_ET | ControlBits.CR0_PG, state.cr0);
    assertTrue(state.longMode());
    assertEquals(64, state.codeWidth());
    assertEquals(0x10, state.selector[SegmentRegister.CS]);
    assertEquals(0x18, state.selector[SegmentRegister.SS]);
    assertEquals(2, state.rflags());
    assertEquals(0, state.r[Slot.RAX]);
  }

  @Test
  void theDescriptorTableAgreesWithTheSegments() {
    InitialState state = load(TestImages.multiboot(), "");

    assertEquals(0x00cf9b000000ffffL, memory.readLong(state.gdtAddress() + 0x10));
    assertEquals(0x00cf93000000ffffL, memory.readLong(state.gdtAddress() + 0x18));
    assertEquals(0x00008b0000000067L, memory.readLong(state.gdtAddress() + 0x20));
    assertEquals(
        0x00af9b000000ffffL, memory.readLong(load(TestImages.linux(), "").gdtAddress() + 0x10));
  }

  @Test
  void textOutsideAsciiReachesTheGuestInUtf8() {
    InitialState state = load(TestImages.linux(), "name=é");
    byte[] expected = "name=é".getBytes(StandardCharsets.UTF_8);
    byte[] found = new byte[expected.length];
    memory.read(memory.readInt(state.rsi() + 0x228), found, 0, found.length);
    assertEquals("name=é", new String(found, StandardCharsets.UTF_8));
  }
}
