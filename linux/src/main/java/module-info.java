/** Reads a running Linux from outside: symbols, types, stacks, tasks, and what pages are. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.linux {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.machine;
  requires org.apache.commons.compress;

  exports dev.ringfence.linux.provenance;
}
