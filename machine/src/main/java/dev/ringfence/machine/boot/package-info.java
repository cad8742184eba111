/**
 * Puts an image into RAM and says how the first processor starts. There is no BIOS: the loader
 * leaves behind what firmware and a boot loader would have left.
 *
 * <p>{@link dev.ringfence.machine.boot.BootImage#of} recognizes the kind of image:
 *
 * <ul>
 *   <li>Linux bzImage: 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst);
 *   <li>Multiboot 1, as ELF or with addresses in its header (Multiboot Specification 0.6.96);
 *   <li>ELF with a PVH entry note (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, EBX points to
 *       the start info;
 *   <li>any other ELF executable: 32-bit ones start in flat protected mode without paging, 64-bit
 *       ones in long mode with all memory mapped to itself; both find the Multiboot magic in EAX
 *       and the Multiboot information in EBX.
 * </ul>
 *
 * <p>Images may be hostile. Every offset and length is checked before it is used, and whatever is
 * wrong is a {@link dev.ringfence.machine.BadInputException}.
 */
package dev.ringfence.machine.boot;
