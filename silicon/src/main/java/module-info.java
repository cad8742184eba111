/**
 * The part of a processor that architecture hides: caches, buffers, predictors, the order in which
 * instructions really execute, and what they leave behind when they should not have been executed.
 */
@org.jspecify.annotations.NullMarked
module dev.ringfence.silicon {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.machine;

  exports dev.ringfence.silicon;
  exports dev.ringfence.silicon.buffer;
  exports dev.ringfence.silicon.cache;
  exports dev.ringfence.silicon.execute;
  exports dev.ringfence.silicon.model;
  exports dev.ringfence.silicon.predict;
  exports dev.ringfence.silicon.taint;
}
