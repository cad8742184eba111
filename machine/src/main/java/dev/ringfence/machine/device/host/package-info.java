/** What devices want of the host: sinks for output, disk images, and an ear for power and reset. */
package dev.ringfence.machine.device.host;
