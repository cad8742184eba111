/** Listings for people: guest instructions, their micro-operations and the bytecode of these. */
package dev.ringfence.machine.inspect;
