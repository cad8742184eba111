/**
 * A deterministic x86-64 PC: physical memory, processor, paging, interrupts, devices, boot,
 * snapshots and probes. It knows nothing of isolation; everything above attaches through probes and
 * the address-space view.
 */
@org.jspecify.annotations.NullMarked
module dev.ringfence.machine {
  requires static transitive org.jspecify;
  requires com.fasterxml.jackson.databind;
  requires com.fasterxml.jackson.dataformat.yaml;
  requires com.github.luben.zstd_jni;
  requires java.management;
  requires org.apache.commons.compress;
  requires org.apache.commons.text;

  exports dev.ringfence.machine;
  exports dev.ringfence.machine.boot;
  exports dev.ringfence.machine.cpu;
  exports dev.ringfence.machine.decode;
  exports dev.ringfence.machine.device.host;
  exports dev.ringfence.machine.device;
  exports dev.ringfence.machine.input;
  exports dev.ringfence.machine.inspect;
  exports dev.ringfence.machine.interpret;
  exports dev.ringfence.machine.interrupt;
  exports dev.ringfence.machine.memory;
  exports dev.ringfence.machine.operation;
  exports dev.ringfence.machine.paging;
  exports dev.ringfence.machine.probe;
  exports dev.ringfence.machine.profile;
  exports dev.ringfence.machine.snapshot;
  exports dev.ringfence.machine.time;
  exports dev.ringfence.machine.translate;
  exports dev.ringfence.machine.virtualization;
}
