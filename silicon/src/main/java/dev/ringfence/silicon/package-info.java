/**
 * Attaches a model of silicon to a machine: one {@code Core} for each physical core, and an
 * executor for each logical processor.
 */
package dev.ringfence.silicon;
