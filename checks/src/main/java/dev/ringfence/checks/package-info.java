/**
 * Checks over the sources and classes of all modules, and of the launcher. Everything here is a
 * test; the module depends on all others, so that it is built last.
 */
package dev.ringfence.checks;
