package dev.ringfence.oracle;

import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import java.util.Map;
import java.util.Set;

/** What a generator of cases must know of an instruction beyond its row of the table. */
final class Semantics {
  private static final String TRANSFER =
      "control leaves the code segment: tested on a bare machine with QEMU";
  private static final String TIME = "depends on time or chance";
  private static final String IDENTIFICATION = "tells what the processor is, not what it does";
  private static final String SYSTEM_CALL = "calls the host's kernel";
  private static final String EMULATED = "Linux emulates it for user programs";
  private static final String VIRTUAL = "belongs to virtualization, which the host has in use";
  private static final String DEBUGGING = "a hypervisor under the host may intercept it";
  private static final String DESCRIPTORS = "depends on the host's descriptor tables";

  private static final String KEYS =
      "the machine has no protection keys; on a host that has, the runner may lose its memory";
  private static final String ABSENT = "undefined in the machine, whatever the host has";

  /** Instructions that are not compared with the real processor, with the reason. */
  private static final Map<String, String> SKIPPED =
      Map.ofEntries(
          Map.entry("CPUID", IDENTIFICATION),
          Map.entry("XGETBV", IDENTIFICATION),
          Map.entry("RDPID", IDENTIFICATION),
          Map.entry("RDPKRU", KEYS),
          Map.entry("WRPKRU", KEYS),
          Map.entry("WBNOINVD", ABSENT),
          Map.entry("RDTSC", TIME),
          Map.entry("RDTSCP", TIME),
          Map.entry("RDPMC", TIME),
          Map.entry("RDRAND", TIME),
          Map.entry("RDSEED", TIME),
          Map.entry("XBEGIN", TIME),
          Map.entry("SYSCALL", SYSTEM_CALL),
          Map.entry("SYSENTER", SYSTEM_CALL),
          Map.entry("INT", SYSTEM_CALL),
          Map.entry("SGDT", EMULATED),
          Map.entry("SIDT", EMULATED),
          Map.entry("SLDT", EMULATED),
          Map.entry("STR", EMULATED),
          Map.entry("SMSW", EMULATED),
          Map.entry("VMCALL", VIRTUAL),
          Map.entry("VMMCALL", VIRTUAL),
          Map.entry("INT1", DEBUGGING),
          Map.entry("CALLF", TRANSFER),
          Map.entry("JMPF", TRANSFER),
          Map.entry("RETF", TRANSFER),
          Map.entry("IRET", TRANSFER),
          Map.entry("LAR", DESCRIPTORS),
          Map.entry("LSL", DESCRIPTORS),
          Map.entry("VERR", DESCRIPTORS),
          Map.entry("VERW", DESCRIPTORS),
          Map.entry("ARPL", DESCRIPTORS),
          Map.entry("LDS", DESCRIPTORS),
          Map.entry("LES", DESCRIPTORS),
          Map.entry("LSS", DESCRIPTORS),
          Map.entry("LFS", DESCRIPTORS),
          Map.entry("LGS", DESCRIPTORS));

  private static final Set<String> STACK =
      Set.of(
          "PUSH",
          "PUSH_SREG",
          "POP",
          "PUSHF",
          "POPF",
          "PUSHA",
          "POPA",
          "CALL",
          "RET",
          "ENTER",
          "LEAVE");

  static final Set<String> TRANSCENDENTAL =
      Set.of("FSIN", "FCOS", "FSINCOS", "FPTAN", "FPATAN", "F2XM1", "FYL2X", "FYL2XP1");

  private static final Set<String> BRANCHES = Set.of("CALL", "JMP", "RET");

  private Semantics() {}

  /** Why the row is not compared, or the empty string. */
  static String reasonToSkip(InstructionDefinition row) {
    String reason = SKIPPED.get(row.mnemonic());
    if (reason != null) {
      return reason;
    }
    if (row.operands().isEmpty()) {
      return "";
    }
    OperandDefinition destination = row.operands().getFirst();
    if (destination.method() == Method.FAR_POINTER) {
      return TRANSFER;
    }
    boolean segment =
        destination.method() == Method.SEGMENT || destination.method() == Method.FIXED_SEGMENT;
    if (segment && !row.mnemonic().equals("PUSH_SREG")) {
      return DESCRIPTORS;
    }
    if (operandType(row, "p")) {
      return TRANSFER;
    }
    return "";
  }

  private static boolean operandType(InstructionDefinition row, String type) {
    return row.operands().stream().anyMatch(operand -> operand.type().equals(type));
  }

  static boolean usesStack(InstructionDefinition row) {
    return STACK.contains(row.mnemonic());
  }

  /** Whether RIP may become something else than the next instruction. */
  static boolean isBranch(InstructionDefinition row) {
    return BRANCHES.contains(row.mnemonic())
        || row.operands().stream().anyMatch(operand -> operand.method() == Method.RELATIVE);
  }

  /** Whether the row addresses memory by registers that the opcode implies. */
  static boolean impliesMemory(InstructionDefinition row) {
    return usesStack(row)
        || isString(row)
        || switch (row.mnemonic()) {
          case "XLAT", "MASKMOVQ", "MASKMOVDQU" -> true;
          default -> false;
        };
  }

  static boolean isString(InstructionDefinition row) {
    return row.operands().stream()
        .anyMatch(operand ->
            operand.method() == Method.SOURCE_STRING
                || operand.method() == Method.DESTINATION_STRING);
  }

  /** Whether an address-size prefix means something although there is no ModRM operand. */
  static boolean addressSizeMatters(InstructionDefinition row) {
    return isString(row)
        || row.operands().stream().anyMatch(operand -> operand.method() == Method.OFFSET)
        || switch (row.mnemonic()) {
          case "XLAT", "MASKMOVQ", "MASKMOVDQU", "LOOP", "LOOPE", "LOOPNE", "JCXZ" -> true;
          default -> false;
        };
  }

  /** Whether x87, MMX or SSE state takes part. */
  static boolean isFloating(InstructionDefinition row) {
    return row.source().startsWith("x87") || row.source().startsWith("vector");
  }

  /**
   * Whether the result is a transcendental function's. The machine computes these with hundreds of
   * bits, a few milliseconds each.
   */
  static boolean isTranscendental(InstructionDefinition row) {
    return TRANSCENDENTAL.contains(row.mnemonic());
  }

  static boolean isX87(InstructionDefinition row) {
    return row.source().startsWith("x87");
  }

  /** Size in bytes of a memory operand. */
  static int memoryBytes(InstructionDefinition row, OperandDefinition operand, int operandWidth) {
    return switch (row.mnemonic()) {
      case "BOUND" -> operandWidth / 4;
      case "CMPXCHG8B" -> operandWidth == 64 ? 16 : 8;
      case "CMPXCHG16B" -> 16;
      default -> operand.width(operandWidth) / 8;
    };
  }

  /** What vectors of this row usually hold. */
  static RandomValues.Lanes lanes(InstructionDefinition row) {
    for (OperandDefinition operand : row.operands().reversed()) {
      switch (operand.type()) {
        case "ps", "ss":
          return RandomValues.Lanes.SINGLES;
        case "pd", "sd":
          return RandomValues.Lanes.DOUBLES;
        default:
      }
    }
    return RandomValues.Lanes.INTEGERS;
  }
}
