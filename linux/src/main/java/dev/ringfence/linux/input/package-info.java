/** Bytes and names from outside: bounds that hold, messages that help. */
package dev.ringfence.linux.input;
