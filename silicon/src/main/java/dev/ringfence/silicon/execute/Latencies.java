package dev.ringfence.silicon.execute;

import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.silicon.model.Pipeline;
import java.util.Map;

/**
 * How many cycles micro-operations take that do not access memory, from the model's classes of
 * instructions.
 */
final class Latencies {
  private static final int MOST = 4000;

  /**
   * Cycles of instructions that are a few micro-operations, but one helper here: flags, segment
   * registers, single string elements (Fog, "Instruction tables": 2 to 10 on Intel and AMD).
   */
  private static final int SHORT_SEQUENCE = 5;

  private final Map<String, Integer> byClass;

  Latencies(Pipeline pipeline) {
    this.byClass = pipeline.latencies();
  }

  /** Whether another one says the same. */
  boolean isSameAs(Latencies other) {
    return byClass.equals(other.byClass);
  }

  /** Cycles of a class, which the reader of models has checked to be there. */
  int of(String instructionClass) {
    Integer cycles = byClass.get(instructionClass);
    if (cycles == null) {
      throw new IllegalStateException("no latency of class " + instructionClass);
    }
    return Math.min(cycles, MOST);
  }

  /** Cycles of a micro-operation; of a load or store, what it takes beside the access. */
  int of(MicroOperation o, int kind) {
    return switch (kind) {
      case Kind.PROBE, Kind.FALL_THROUGH -> 0;
      case Kind.TIME_STAMP, Kind.TIME_STAMP_ORDERED -> of("time-stamp");
      case Kind.LOCKED -> of("lock");
      case Kind.FLUSH_LINE, Kind.WRITE_BACK_LINE -> of("flush-line");
      case Kind.SERIALIZING,
          Kind.TRANSLATIONS,
          Kind.PAGE_TRANSLATION,
          Kind.CONTROL_REGISTER,
          Kind.FLUSH_CACHES ->
          serializing(o);
      case Kind.MICROCODE -> microcode(o);
      case Kind.ACCESS_FLAG -> SHORT_SEQUENCE;
      case Kind.LOAD_FENCE, Kind.MEMORY_FENCE, Kind.STORE_FENCE -> of("fence");
      default ->
          switch (o.code) {
            case MicroCode.MULTIPLY -> of("multiply");
            case MicroCode.STATE_HELPER -> helper(o.instruction.mnemonic());
            default -> o.code == MicroCode.JUMP ? 0 : 1;
          };
    };
  }

  private int serializing(MicroOperation o) {
    return switch (o.instruction.mnemonic()) {
      case "SYSCALL", "SYSENTER" -> of("system-call");
      case "SYSRET", "SYSEXIT" -> of("system-return");
      case "IRET" -> of("interrupt-return");
      case "CPUID" -> of("identify");
      case "WRMSR" -> of("write-register");
      case "RDMSR" -> of("read-register");
      case "MOV_CR" -> of("write-root");
      case "IN", "OUT", "INS", "OUTS" -> of("port");
      case "VERW" -> of("verify");
      case "VMLAUNCH", "VMRESUME" -> of("vm-entry");
      default -> of("serialize");
    };
  }

  private int microcode(MicroOperation o) {
    if (o.instruction.repeatPrefix() != 0) {
      return of("string");
    }
    String mnemonic = o.instruction.mnemonic();
    boolean state =
        mnemonic.contains("SAVE") || mnemonic.contains("RSTOR") || mnemonic.endsWith("ENV");
    return state ? of("microcode") : SHORT_SEQUENCE;
  }

  private int helper(String mnemonic) {
    return switch (mnemonic) {
      case "DIV", "IDIV" -> of("divide");
      case "MUL", "IMUL1" -> of("multiply");
      case "DIVPS", "DIVPD", "DIVSS", "DIVSD", "SQRTPS", "SQRTPD", "SQRTSS", "SQRTSD" ->
          of("float-divide");
      case "RDRAND", "RDSEED" -> of("random");
      default -> isFloat(mnemonic) ? of("float") : 1;
    };
  }

  /** x87 instructions, and SSE instructions on floating-point numbers that compute. */
  private static boolean isFloat(String mnemonic) {
    return mnemonic.startsWith("F")
        || mnemonic.startsWith("CVT")
        || mnemonic.startsWith("ADD")
        || mnemonic.startsWith("SUB")
        || mnemonic.startsWith("MUL")
        || mnemonic.startsWith("ROUND")
        || mnemonic.startsWith("H")
        || mnemonic.startsWith("DP");
  }
}
