package dev.ringfence.isolation.cost;
/** Kinds of counted events. */
public enum Event { 
  /** placeholder */
  EXIT }
