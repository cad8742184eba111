/** Reads a running Linux from outside: symbols, types, stacks, tasks, and what pages are. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.linux {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.machine;
  requires com.github.luben.zstd_jni;
  requires org.apache.commons.compress;
  requires org.tukaani.xz;

  exports dev.ringfence.linux;
  exports dev.ringfence.linux.image;
  exports dev.ringfence.linux.provenance;
  exports dev.ringfence.linux.running;
  exports dev.ringfence.linux.stack;
  exports dev.ringfence.linux.symbol;
  exports dev.ringfence.linux.type;
}
