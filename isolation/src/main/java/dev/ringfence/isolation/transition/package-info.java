/**
 * Transitions between address spaces: the state machine that decides when to write CR3 and what to
 * flush. It knows neither machine nor kernel; it is told what happens and tells a listener what is
 * to be done.
 */
package dev.ringfence.isolation.transition;
