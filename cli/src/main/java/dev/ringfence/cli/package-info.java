/**
 * The commands. {@link dev.ringfence.cli.Ringfence} is the root and lists the others; {@link
 * dev.ringfence.cli.ExitStatus} says what each exit status means.
 */
package dev.ringfence.cli;
