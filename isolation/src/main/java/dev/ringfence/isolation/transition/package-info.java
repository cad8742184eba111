/**
 * Transitions between address spaces: the state machine that decides when CR3 is written and what
 * is flushed. It knows neither machine nor kernel; it is told what happens and tells a listener
 * what is to be done.
 *
 * <p>A processor is <em>restricted</em> while it runs on the page table of a domain, else
 * <em>unrestricted</em>. Apart from that it is <em>tense</em> while untrusted code runs or is about
 * to (a target is set), else <em>relaxed</em>: then a fault may leave the restricted address space
 * for good.
 */
package dev.ringfence.isolation.transition;
