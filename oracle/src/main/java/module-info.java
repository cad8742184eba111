/**
 * Comparison of the machine with what others built: instructions with the host's real processor,
 * decoding with objdump.
 */
@org.jspecify.annotations.NullMarked
module dev.ringfence.oracle {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.machine;

  exports dev.ringfence.oracle;
}
