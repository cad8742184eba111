/** Jobs of fixed content by which the machine is timed and compared with others. */
package dev.ringfence.lab.bench;
