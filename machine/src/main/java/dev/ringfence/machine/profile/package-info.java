/**
 * Where a run's instructions and the host's time go: samples of both, by place in the guest and by
 * what the machine was doing.
 */
package dev.ringfence.machine.profile;
