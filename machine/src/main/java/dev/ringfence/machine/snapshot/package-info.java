/**
 * Saving and restoring the whole state of a machine. Each part writes its own section; the
 * container checks version, configuration and checksum before any part reads.
 */
package dev.ringfence.machine.snapshot;
