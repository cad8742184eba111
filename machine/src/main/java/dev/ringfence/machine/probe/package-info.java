/** Observation points of the machine, which cost nothing while nobody observes. */
package dev.ringfence.machine.probe;
