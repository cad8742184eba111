package dev.ringfence.silicon.model;

import java.util.List;
import java.util.Map;

/**
 * The out-of-order part of a core.
 *
 * @param width micro-operations that enter the reorder buffer, and leave it, in one cycle
 * @param reorderBuffer its entries
 * @param frontEndRefill cycles from the resolution of a mispredicted branch to the first
 *     micro-operation of the right path
 * @param faultDelay cycles from the moment at which a faulting instruction could retire to the
 *     squash of those behind it
 * @param storeForwardLatency cycles of a load that the store buffer answers
 * @param transientExecution whether instructions that will be squashed execute and leave traces; an
 *     imagined processor may wait instead
 * @param latencies cycles by class of instruction, with a value for each of {@link #CLASSES}
 */
public record Pipeline(
    int width,
    int reorderBuffer,
    int frontEndRefill,
    int faultDelay,
    int storeForwardLatency,
    boolean transientExecution,
    Map<String, Integer> latencies) {
  /**
   * Names of the classes of instructions. What is in no class takes one cycle.
   *
   * <ul>
   *   <li>multiply: integer multiplication
   *   <li>divide: division of 128 by 64 bits and narrower
   *   <li>float: x87, and SSE on floating-point numbers, but for float-divide
   *   <li>float-divide: SSE division and square root
   *   <li>random: RDRAND, RDSEED
   *   <li>lock: what LOCK adds to a read and a write of a line in the first level
   *   <li>fence: LFENCE, MFENCE, SFENCE when nothing is under way
   *   <li>flush-line: CLFLUSH, CLFLUSHOPT, CLWB
   *   <li>time-stamp: RDTSC, RDTSCP
   *   <li>identify: CPUID
   *   <li>read-register: RDMSR
   *   <li>write-register: WRMSR, but for branch-barrier and flush-l1-data
   *   <li>branch-barrier: WRMSR of IA32_PRED_CMD
   *   <li>flush-l1-data: WRMSR of IA32_FLUSH_CMD, without the misses that follow
   *   <li>write-root: MOV to control registers
   *   <li>verify: VERW, with the clearing of buffers where it does that
   *   <li>system-call: SYSCALL, SYSENTER
   *   <li>system-return: SYSRET, SYSEXIT
   *   <li>event: delivery of an interrupt or exception, without its memory accesses
   *   <li>interrupt-return: IRET
   *   <li>vm-entry: VMLAUNCH, VMRESUME
   *   <li>vm-exit: from the instruction or event that exits to the host's first instruction
   *   <li>transaction-abort: from XBEGIN to its fallback, if it aborts at once
   *   <li>port: IN, OUT, and accesses of devices in memory
   *   <li>string: start of a repeated string instruction
   *   <li>microcode: saving and restoring of state, and other long microcode
   *   <li>serialize: serializing instructions that have no class of their own
   * </ul>
   */
  public static final List<String> CLASSES =
      List.of(
          "multiply",
          "divide",
          "float",
          "float-divide",
          "random",
          "lock",
          "fence",
          "flush-line",
          "time-stamp",
          "identify",
          "read-register",
          "write-register",
          "branch-barrier",
          "flush-l1-data",
          "write-root",
          "verify",
          "system-call",
          "system-return",
          "event",
          "interrupt-return",
          "vm-entry",
          "vm-exit",
          "transaction-abort",
          "port",
          "string",
          "microcode",
          "serialize");
}
