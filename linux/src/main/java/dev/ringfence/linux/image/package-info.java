/** What a Linux kernel's image file says about itself: its ELF file, kallsyms, BTF, version. */
package dev.ringfence.linux.image;
