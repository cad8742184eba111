/** Reads a running Linux from outside. */
package dev.ringfence.linux;
