/**
 * Runs of a guest: {@link dev.ringfence.lab.run.GuestSession} drives a machine and keeps what its
 * input was, {@link dev.ringfence.lab.run.Manifest} describes a run so that it can be had again.
 */
package dev.ringfence.lab.run;
