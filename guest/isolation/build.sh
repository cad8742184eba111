#!/bin/sh
# Builds the kernel into a folder, as the file "kernel": 64-bit code in a 32-bit ELF file, as Multiboot wants it.
set -e
sources=$(dirname "$0")
gcc -m64 -static -nostdlib -no-pie -Wl,--build-id=none -Wl,-T,"$sources/kernel.ld" "$sources/kernel.S" -o "$1/kernel64"
objcopy -O elf32-i386 "$1/kernel64" "$1/kernel"
