/** Runs of a guest under policies of isolation, and what comes out of them. */
package dev.ringfence.lab.experiment;
