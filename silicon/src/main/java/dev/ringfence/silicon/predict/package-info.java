/**
 * Predictors of branches: direction, target, return address, and the history that selects among
 * predictions.
 */
package dev.ringfence.silicon.predict;
