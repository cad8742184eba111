/** Executes micro-operations with their time, and the wrong paths beside the right one. */
package dev.ringfence.silicon.execute;
