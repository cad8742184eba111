/**
 * Intel's virtual-machine extensions (SDM volume 3, chapters 24 to 29): VMX operation, the
 * virtual-machine control structure, entries, exits, and what instructions do in VMX non-root
 * operation. Extended page tables are in {@code paging}, beside the tables that they translate.
 */
package dev.ringfence.machine.virtualization;
