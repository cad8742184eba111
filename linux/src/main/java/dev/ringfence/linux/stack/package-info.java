/** Stacks of a running kernel: which functions called the one that runs. */
package dev.ringfence.linux.stack;
