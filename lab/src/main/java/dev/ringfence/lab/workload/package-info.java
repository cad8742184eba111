/**
 * What runs in a guest while it is measured.
 *
 * <p>A {@link dev.ringfence.lab.workload.Workload} is a YAML file: Debian packages, C programs and
 * files that go into the guest, a shell command, and what the machine has to be like. {@link
 * dev.ringfence.lab.workload.WorkloadPreparation} turns it into a guest that can be booted. The
 * command tells with {@link dev.ringfence.lab.workload.Marker} instructions where the part begins
 * and ends that counts. The format is described in docs/workloads.md.
 */
@org.jspecify.annotations.NullMarked
package dev.ringfence.lab.workload;
