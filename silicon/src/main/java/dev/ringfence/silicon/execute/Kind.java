package dev.ringfence.silicon.execute;

import dev.ringfence.machine.decode.Instruction;

/**
 * What an instruction does to the pipeline beyond computing a result, for those that do something.
 * Numbers, because they are packed into {@link TimedBlock}.
 */
final class Kind {
  /** Computes. */
  static final int PLAIN = 0;

  /** LFENCE: waits for all older instructions and holds all younger ones. */
  static final int LOAD_FENCE = 1;

  /** MFENCE: the same, and older stores have reached the cache. */
  static final int MEMORY_FENCE = 2;

  /** SFENCE: orders stores, which are in order anyway. */
  static final int STORE_FENCE = 3;

  /** PREFETCHT0, PREFETCHNTA, PREFETCHW. */
  static final int PREFETCH_FIRST = 4;

  /** PREFETCHT1, PREFETCHT2. */
  static final int PREFETCH_SECOND = 5;

  /** RDTSC: reads the time when it executes, and orders nothing. */
  static final int TIME_STAMP = 6;

  /** RDTSCP: waits for all older instructions. */
  static final int TIME_STAMP_ORDERED = 7;

  /** CLFLUSH, CLFLUSHOPT. */
  static final int FLUSH_LINE = 8;

  /** CLWB: the line stays. */
  static final int WRITE_BACK_LINE = 9;

  /** INVD, WBINVD. */
  static final int FLUSH_CACHES = 10;

  /** Serializing instructions (SDM volume 3, section 9.3), and those that work like them. */
  static final int SERIALIZING = 11;

  /** Long sequences of microcode that touch memory: string instructions, saves of state. */
  static final int MICROCODE = 12;

  /** A locked read-modify-write. */
  static final int LOCKED = 13;

  /** XBEGIN. */
  static final int TRANSACTION = 14;

  /** PAUSE. */
  static final int PAUSE = 15;

  /** Tells a probe; the guest does not know of it. */
  static final int PROBE = 16;

  /** A store around the caches. */
  static final int STREAMING_STORE = 17;

  /** A jump that ends a block without an instruction of its own. */
  static final int FALL_THROUGH = 18;

  /** INVPCID, INVEPT, INVVPID: serializing, and translations go. */
  static final int TRANSLATIONS = 19;

  /**
   * CLAC and STAC: change a flag that later accesses depend on. They order nothing, which is why
   * Linux has a fence of its own behind STAC where that matters (__uaccess_begin_nospec).
   */
  static final int ACCESS_FLAG = 20;

  /** INVLPG: serializing, and translations of one page go. */
  static final int PAGE_TRANSLATION = 21;

  /** Moves to and from control registers: serializing, and translations may go. */
  static final int CONTROL_REGISTER = 22;

  private Kind() {}

  /** The kind of an instruction as a whole. */
  static int of(Instruction instruction) {
    return switch (instruction.mnemonic()) {
      case "LFENCE" -> LOAD_FENCE;
      case "MFENCE" -> MEMORY_FENCE;
      case "SFENCE" -> STORE_FENCE;
      case "PREFETCHT0", "PREFETCHNTA", "PREFETCHW" -> PREFETCH_FIRST;
      case "PREFETCHT1", "PREFETCHT2" -> PREFETCH_SECOND;
      case "RDTSC" -> TIME_STAMP;
      case "RDTSCP" -> TIME_STAMP_ORDERED;
      case "CLFLUSH", "CLFLUSHOPT" -> FLUSH_LINE;
      case "CLWB" -> WRITE_BACK_LINE;
      case "INVD", "WBINVD" -> FLUSH_CACHES;
      case "INVLPG" -> PAGE_TRANSLATION;
      case "INVPCID", "INVEPT", "INVVPID" -> TRANSLATIONS;
      case "MOV_CR" -> CONTROL_REGISTER;
      case "MOVNTI", "MOVNTDQ", "MOVNTPS", "MOVNTPD", "MOVNTQ" -> STREAMING_STORE;
      case "XBEGIN" -> TRANSACTION;
      case "PAUSE" -> PAUSE;
      case "CLAC", "STAC" -> ACCESS_FLAG;
      case "XCHG" -> instruction.isMemory() ? LOCKED : PLAIN;
      case "CPUID",
          "IRET",
          "WRMSR",
          "RDMSR",
          "MOV_DR",
          "LGDT",
          "LIDT",
          "LLDT",
          "LTR",
          "LMSW",
          "CLTS",
          "XSETBV",
          "SYSCALL",
          "SYSRET",
          "SYSENTER",
          "SYSEXIT",
          "INT",
          "INT1",
          "INT3",
          "INTO",
          "IN",
          "OUT",
          "INS",
          "OUTS",
          "HLT",
          "VERW",
          "VMLAUNCH",
          "VMRESUME",
          "VMCALL",
          "VMXON",
          "VMXOFF",
          "VMPTRLD",
          "VMCLEAR",
          "CALLF",
          "JMPF",
          "RETF" ->
          SERIALIZING;
      default -> instruction.lock() ? LOCKED : PLAIN;
    };
  }
}
