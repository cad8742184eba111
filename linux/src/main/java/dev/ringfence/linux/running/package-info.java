/** A Linux that runs in the machine, read from outside: memory, tasks, modules, layout. */
package dev.ringfence.linux.running;
