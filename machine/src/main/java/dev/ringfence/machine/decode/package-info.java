/**
 * From bytes to decoded instructions. What instructions exist is data: the {@code *.table} files
 * beside this package's classes hold one row per instruction form, transcribed from the SDM's
 * opcode maps (volume 2, appendix A). The decoder, the lifter to micro-operations and the tests all
 * read that table.
 */
package dev.ringfence.machine.decode;
