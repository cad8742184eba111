/** Address space isolation: domains, restricted page tables, transitions, flushes, policies. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.isolation {
  requires static transitive org.jspecify;
  requires com.fasterxml.jackson.databind;
  requires com.fasterxml.jackson.dataformat.yaml;
  requires transitive dev.ringfence.linux;
  requires transitive dev.ringfence.machine;

  exports dev.ringfence.isolation.cost;
  exports dev.ringfence.isolation.monitor;
  exports dev.ringfence.isolation.policy;
  exports dev.ringfence.isolation.table;
  exports dev.ringfence.isolation.transition;
}
