/**
 * Files from outside. Bounds hold, and every complaint names the file and the place, says what was
 * expected and what was found, and proposes the nearest valid names.
 */
package dev.ringfence.machine.input;
