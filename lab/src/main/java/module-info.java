/** Guests for the machine: Debian packages, initramfs images, workloads. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.lab {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.isolation;
  requires transitive dev.ringfence.linux;
  requires transitive dev.ringfence.machine;
  requires transitive dev.ringfence.silicon;
  requires com.fasterxml.jackson.databind;
  requires com.fasterxml.jackson.dataformat.yaml;
  requires com.github.luben.zstd_jni;
  requires org.apache.commons.compress;
  requires org.tukaani.xz;

  exports dev.ringfence.lab.attack;
  exports dev.ringfence.lab.bench;
  exports dev.ringfence.lab.experiment;
  exports dev.ringfence.lab.guest;
  exports dev.ringfence.lab.inspect;
  exports dev.ringfence.lab.profile;
  exports dev.ringfence.lab.result;
  exports dev.ringfence.lab.run;
  exports dev.ringfence.lab.workload;

  // Jackson fills the records of a manifest by reflection.
  opens dev.ringfence.lab.result to
      com.fasterxml.jackson.databind;
  opens dev.ringfence.lab.run to
      com.fasterxml.jackson.databind;
}
