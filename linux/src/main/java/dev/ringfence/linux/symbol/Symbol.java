package dev.ringfence.linux.symbol;

/**
 * A name of the kernel.
 *
 * @param name as in kallsyms; not unique, as C files have static functions of equal names
 * @param address linear address; for absolute symbols a number that does not move with the kernel
 * @param type the letter of nm(1): {@code T} and {@code t} code, {@code D} data, {@code A}
 *     absolute; upper case is visible to other files
 */
public record Symbol(String name, long address, char type) {
  /** Whether other C files can refer to it. */
  public boolean isGlobal() {
    return Character.isUpperCase(type);
  }
}
