/** Guests for the machine: Debian packages, initramfs images, workloads. */
@org.jspecify.annotations.NullMarked
module dev.ringfence.lab {
  requires static transitive org.jspecify;
  requires transitive dev.ringfence.machine;
  requires com.github.luben.zstd_jni;
  requires org.apache.commons.compress;
  requires org.tukaani.xz;

  exports dev.ringfence.lab.guest;
}
