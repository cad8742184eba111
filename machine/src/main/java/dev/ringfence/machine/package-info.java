/** What every room of the machine shares: the two ways in which a run ends badly. */
package dev.ringfence.machine;
