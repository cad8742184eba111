package dev.ringfence.machine.translate;

/** When guest code is translated. What the guest does is the same in all modes. */
public enum TranslationMode {
  /** Never: all code is interpreted. */
  OFF,
  /** Hot code, in the background. */
  ON,
  /** All code, before it is executed for the first time; slow, for tests. */
  FORCED
}
