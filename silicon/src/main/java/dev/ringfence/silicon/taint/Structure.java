package dev.ringfence.silicon.taint;

/** Where bytes of a secret can be while, or after, a processor works on them. */
public enum Structure {
  L1_INSTRUCTION,
  L1_DATA,
  L2,
  L3,
  FILL_BUFFERS,
  STORE_BUFFER,
  LOAD_PORTS
}
