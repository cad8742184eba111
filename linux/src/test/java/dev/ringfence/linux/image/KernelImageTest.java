package dev.ringfence.linux.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.linux.image.KernelImage.MissingException;
import dev.ringfence.linux.image.SyntheticKernel.Layout;
import dev.ringfence.machine.BadInputException;
import java.util.Arrays;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What a kernel has and has not, and what a user is told of it. */
final class KernelImageTest {
  private static KernelImage image(SyntheticKernel kernel) {
    return KernelImage.of(kernel.elf(), "vmlinux");
  }

  @Test
  void theBannerIsTheOneWithTheNumberOfTheBuild() {
    KernelImage image = image(SyntheticKernel.of(Layout.LINUX_6_4).release("6.12.3-custom+"));
    assertEquals("Linux version 6.12.3-custom+ (someone@somewhere) #1 SMP now", image.banner());
    assertEquals("6.12.3-custom+", image.release());
    assertTrue(image.isAtLeast(6, 12));
    assertTrue(image.isAtLeast(5, 19));
    assertFalse(image.isAtLeast(6, 13));
    assertFalse(image.isAtLeast(7, 0));
  }

  @Test
  void aKernelWithoutTypesStillHasSymbols() {
    KernelImage image = image(SyntheticKernel.of(Layout.LINUX_6_2));
    assertEquals(SyntheticKernel.BASE, image.symbols().require("_text"));
    assertEquals(Optional.empty(), image.findTypes());
    String message = assertThrows(MissingException.class, image::types).getMessage();
    assertTrue(message.contains("vmlinux: Linux 6.1.0-test has no types"), message);
    assertTrue(message.contains("CONFIG_DEBUG_INFO_BTF=y"), message);
  }

  @Test
  void aKernelWithoutSymbolsSaysWhichKernelsHaveThem() {
    KernelImage image = image(SyntheticKernel.of(Layout.LINUX_6_2).withoutKallsyms());
    assertEquals(Optional.empty(), image.findSymbols());
    String message = assertThrows(MissingException.class, image::symbols).getMessage();
    assertTrue(message.contains("CONFIG_KALLSYMS=y"), message);
    assertTrue(message.contains("Linux 5.10 or later"), message);
  }

  @Test
  void anOldKernelIsRefusedEvenIfItHasSymbols() {
    KernelImage image = image(SyntheticKernel.of(Layout.LINUX_5_10).release("5.4.0"));
    assertTrue(image.findSymbols().isPresent());
    assertTrue(
        assertThrows(MissingException.class, image::symbols)
            .getMessage()
            .contains("Linux 5.4.0 is too old"));
  }

  @Test
  void symbolsSayWhereSectionsAreIfNothingElseDoes() {
    byte[] btf = {1, 2, 3, 4};
    SyntheticKernel kernel =
        SyntheticKernel.of(Layout.LINUX_6_4)
            .section(".BTF", btf)
            .symbol("__start_BTF", SyntheticKernel.address(0), 'R')
            .symbol("__stop_BTF", SyntheticKernel.address(0) + btf.length, 'R');
    assertArrayEquals(btf, image(kernel).section(".BTF").orElseThrow());
    KernelImage stripped = image(kernel.withoutSectionHeaders());
    Section found = stripped.findArea(".BTF", "__start_BTF", "__stop_BTF").orElseThrow();
    assertEquals(SyntheticKernel.address(0), found.address());
    assertArrayEquals(btf, stripped.read(found.address(), (int) found.size()));
    // The section is there, and is no BTF.
    assertThrows(BadInputException.class, stripped::findTypes);
  }

  @Test
  void readingOutsideTheFileIsRefused() {
    KernelImage image = image(SyntheticKernel.of(Layout.LINUX_6_4));
    assertThrows(BadInputException.class, () -> image.read(SyntheticKernel.BASE - 1, 1));
    assertThrows(BadInputException.class, () -> image.read(image.linkEnd() - 1, 2));
    assertThrows(BadInputException.class, () -> image.read(SyntheticKernel.BASE, -1));
  }

  @Test
  void filesThatAreNoKernelAreRefused() {
    byte[] elf = SyntheticKernel.of(Layout.LINUX_6_4).elf();
    byte[] arm = elf.clone();
    arm[18] = (byte) 183;
    assertRefused(arm, "64-bit ELF file for x86-64");
    byte[] low = elf.clone();
    Arrays.fill(low, 64 + 16, 64 + 24, (byte) 0);
    assertRefused(low, "segments at or above 0xffffffff80000000");
    byte[] other = elf.clone();
    Arrays.fill(other, 0x1000, 0x41000, (byte) 0);
    assertRefused(other, "Linux version");
    assertRefused(Arrays.copyOf(elf, 80), "program headers");
  }

  private static void assertRefused(byte[] file, String expected) {
    String message =
        assertThrows(BadInputException.class, () -> KernelImage.of(file, "vmlinux")).getMessage();
    assertTrue(message.startsWith("vmlinux: "), message);
    assertTrue(message.contains(expected), message);
  }

  @Test
  void damagedHeadersNeitherHangNorCrash() {
    byte[] elf = SyntheticKernel.of(Layout.LINUX_6_4).section(".BTF", new byte[24]).elf();
    Random random = new Random(11);
    for (int i = 0; i < 3000; i++) {
      byte[] damaged = elf.clone();
      for (int k = random.nextInt(1, 5); k > 0; k--) {
        int at = random.nextInt(64 + 56 + 256);
        damaged[at < 120 ? at : 0x41000 + at - 120] = (byte) random.nextInt();
      }
      try {
        KernelImage image = KernelImage.of(damaged, "vmlinux");
        image.findArea(".BTF", "", "");
        image.findTypes();
      } catch (BadInputException e) {
        assertEquals(1, e.getMessage().lines().count(), e.getMessage());
      }
    }
  }
}
