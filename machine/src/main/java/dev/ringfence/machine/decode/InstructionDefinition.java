package dev.ringfence.machine.decode;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * One row of the instruction table: an instruction form. The row's syntax is
 *
 * <pre>
 * OPCODE ; MNEMONIC ; OPERANDS ; ATTRIBUTES
 * 0F BA /5 ; BTS ; Ev,Ib ; lock undefined:OF,SF,AF,PF
 * </pre>
 *
 * <p>OPCODE is a sequence of: a mandatory prefix {@code NP}, {@code 66}, {@code F2}, {@code F3}
 * (none means that prefixes keep their general meaning); opcode bytes; {@code +r} (the low three
 * bits name a register); {@code /n} (ModRM.reg); {@code mem} or {@code reg} (kind of ModRM.rm);
 * {@code rm=n}; {@code W0} or {@code W1} (REX.W); {@code B=0} (REX.B clear).
 *
 * <p>ATTRIBUTES: {@code lock} may have a LOCK prefix when its destination is memory; {@code i64},
 * {@code o64} invalid in, only valid in 64-bit mode; {@code d64} operand width defaults to 64 bits
 * in 64-bit mode; {@code f64} is always 64 bits there; {@code end} the next instruction must not be
 * decoded into the same block; {@code undefined:FLAGS} status flags that the SDM leaves undefined;
 * {@code feature:NAME} the CPUID feature without which the form is invalid.
 *
 * @param mandatoryPrefix 0x66, 0xF2, 0xF3, 0 for NP, or -1 where prefixes keep their general
 *     meaning
 * @param map 0 one-byte opcodes, 1 after 0F, 2 after 0F 38, 3 after 0F 3A
 * @param opcode last opcode byte; for {@code +r} forms with the low three bits clear
 * @param registerInOpcode whether this is a {@code +r} form
 * @param extension required ModRM.reg, or -1
 * @param memory required kind of ModRM.rm: 1 memory, 0 register, -1 either
 * @param rm required ModRM.rm (low three bits), or -1
 * @param rexW required REX.W, or -1
 * @param rexBClear whether REX.B must be clear
 * @param attributes as above
 * @param undefinedFlags mask in RFLAGS of the flags which the SDM leaves undefined
 * @param feature CPUID feature name, or the empty string
 * @param source file and line of the row
 */
public record InstructionDefinition(
    int mandatoryPrefix,
    int map,
    int opcode,
    boolean registerInOpcode,
    int extension,
    int memory,
    int rm,
    int rexW,
    boolean rexBClear,
    String mnemonic,
    List<OperandDefinition> operands,
    Set<String> attributes,
    int undefinedFlags,
    String feature,
    String source) {

  /** Stands for bytes that are no instruction. */
  static final InstructionDefinition INVALID =
      new InstructionDefinition(
          -1,
          0,
          0,
          false,
          -1,
          -1,
          -1,
          -1,
          false,
          "(invalid)",
          List.of(),
          Set.of("end"),
          0,
          "",
          "none");

  private static final Set<String> KNOWN = Set.of("lock", "i64", "o64", "d64", "f64", "end", "rep");

  /** Whether the row has the attribute. */
  public boolean has(String attribute) {
    return attributes.contains(attribute);
  }

  /** Whether a ModRM byte follows the opcode. */
  public boolean usesModRm() {
    return extension >= 0
        || memory >= 0
        || rm >= 0
        || operands.stream().anyMatch(OperandDefinition::usesModRm);
  }

  static InstructionDefinition parse(String line, String source) {
    String[] columns = line.split(";", -1);
    if (columns.length != 4) {
      throw new IllegalArgumentException(
          source + ": expected 4 columns separated by ';', found " + columns.length + ": " + line);
    }
    int prefix = -1;
    int extension = -1;
    int memory = -1;
    int rm = -1;
    int rexW = -1;
    boolean registerInOpcode = false;
    boolean rexBClear = false;
    List<Integer> bytes = new ArrayList<>();
    for (String token : columns[0].strip().split("\\s+")) {
      if (token.equals("NP")) {
        prefix = 0;
      } else if (token.equals("mem")) {
        memory = 1;
      } else if (token.equals("reg")) {
        memory = 0;
      } else if (token.equals("+r")) {
        registerInOpcode = true;
      } else if (token.startsWith("rm=")) {
        rm = Integer.parseInt(token.substring(3));
        memory = 0;
      } else if (token.startsWith("/")) {
        extension = Integer.parseInt(token.substring(1));
      } else if (token.equals("B=0")) {
        rexBClear = true;
      } else if (token.equals("W0") || token.equals("W1")) {
        rexW = token.charAt(1) - '0';
      } else {
        bytes.add(Integer.parseInt(token, 16));
      }
    }
    boolean prefixed = bytes.size() > 1 && bytes.get(1) == 0x0f && bytes.getFirst() != 0x0f;
    if (prefixed) {
      prefix = bytes.removeFirst();
    } else if (bytes.size() == 2 && bytes.getFirst() != 0x0f) {
      // F3 90 (PAUSE): a mandatory prefix on a one-byte opcode.
      prefix = bytes.removeFirst();
    }
    int map = 0;
    if (bytes.getFirst() == 0x0f && bytes.size() > 1) {
      bytes.removeFirst();
      map = 1;
      if (bytes.size() > 1 && (bytes.getFirst() == 0x38 || bytes.getFirst() == 0x3a)) {
        map = bytes.removeFirst() == 0x38 ? 2 : 3;
      }
    }
    if (bytes.size() != 1) {
      throw new IllegalArgumentException(source + ": cannot read the opcode of: " + line);
    }
    List<OperandDefinition> operands = new ArrayList<>();
    if (!columns[2].isBlank()) {
      for (String operand : columns[2].strip().split(",")) {
        operands.add(OperandDefinition.parse(operand.strip()));
      }
    }
    Set<String> attributes = new java.util.TreeSet<>();
    int undefined = 0;
    String feature = "";
    if (!columns[3].isBlank()) {
      for (String attribute : columns[3].strip().split("\\s+")) {
        if (attribute.startsWith("undefined:")) {
          for (String flag : attribute.substring(10).split(",")) {
            undefined |= flagMask(flag, source);
          }
        } else if (attribute.startsWith("feature:")) {
          feature = attribute.substring(8);
        } else if (KNOWN.contains(attribute)) {
          attributes.add(attribute);
        } else {
          throw new IllegalArgumentException(
              source + ": unknown attribute " + attribute + ", known are " + KNOWN);
        }
      }
    }
    return new InstructionDefinition(
        prefix,
        map,
        bytes.getFirst(),
        registerInOpcode,
        extension,
        memory,
        rm,
        rexW,
        rexBClear,
        columns[1].strip(),
        List.copyOf(operands),
        Set.copyOf(attributes),
        undefined,
        feature,
        source);
  }

  private static int flagMask(String name, String source) {
    return switch (name) {
      case "CF" -> dev.ringfence.machine.cpu.Flags.CF;
      case "PF" -> dev.ringfence.machine.cpu.Flags.PF;
      case "AF" -> dev.ringfence.machine.cpu.Flags.AF;
      case "ZF" -> dev.ringfence.machine.cpu.Flags.ZF;
      case "SF" -> dev.ringfence.machine.cpu.Flags.SF;
      case "OF" -> dev.ringfence.machine.cpu.Flags.OF;
      default -> throw new IllegalArgumentException(source + ": unknown flag " + name);
    };
  }
}
