/** A look at the code of a guest, or at bytes: what the machine makes of them. */
package dev.ringfence.lab.inspect;
