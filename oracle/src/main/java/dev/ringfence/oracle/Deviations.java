package dev.ringfence.oracle;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Where two correct processors may differ: results that the SDM leaves undefined in certain cases,
 * and differences between vendors. Each rule has its source; nothing else is left out of the
 * comparison.
 */
final class Deviations {
  /** What a rule takes out of the comparison. */
  enum Effect {
    /** The flags of {@link Rule#flags}. */
    FLAGS,
    /** Condition code bits of the x87 status word: {@link Rule#flags} is their mask. */
    X87_STATUS,
    /** The whole case. */
    CASE,
    /** Results are approximations with a guaranteed relative error. */
    APPROXIMATE
  }

  /** When a rule applies. */
  @FunctionalInterface
  interface Condition {
    boolean holds(Form form, CaseRecord input, CaseRecord real);
  }

  /**
   * One deviation.
   *
   * @param source why this is no defect
   */
  record Rule(
      String name,
      String source,
      Set<String> mnemonics,
      Effect effect,
      int flags,
      Condition condition) {}

  private static final boolean AMD = HostFeatures.vendor().equals("AuthenticAMD");
  private static final Set<String> SHIFTS = Set.of("SHL", "SHR", "SAR");
  private static final Set<String> ROTATES = Set.of("ROL", "ROR", "RCL", "RCR");
  private static final Set<String> DOUBLE_SHIFTS = Set.of("SHLD", "SHRD");

  private static final List<Rule> RULES =
      List.of(
          new Rule(
              "wide double shift",
              "SDM volume 2, SHLD: if the count is greater than the operand size, the result is"
                  + " undefined",
              DOUBLE_SHIFTS,
              Effect.CASE,
              0,
              (form, input, real) -> count(form, input) > form.operandWidth()),
          new Rule(
              "short BSWAP",
              "SDM volume 2, BSWAP: the result for a 16-bit register is undefined",
              Set.of("BSWAP"),
              Effect.CASE,
              0,
              (form, input, real) -> form.operandWidth() == 16),
          new Rule(
              "66 before near branches",
              "SDM volume 2, JMP, CALL, Jcc, RET, LOOP, JCXZ: operand size is forced to 64 bits;"
                  + " AMD APM volume 3, section 1.2.2 and Jcc: an operand-size prefix truncates RIP to"
                  + " 16 bits. The models here are Intel's",
              Set.of(),
              Effect.CASE,
              0,
              (form, input, real) ->
                  AMD
                      && form.codeWidth() == 64
                      && form.operandSizePrefix()
                      && form.row().mandatoryPrefix() != 0x66
                      && Semantics.isBranch(form.row())),
          new Rule(
              "approximations",
              "SDM volume 2, RCPPS and RSQRTPS: relative error at most 1.5 * 2^-12; the bits are"
                  + " the vendor's",
              Set.of("RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"),
              Effect.APPROXIMATE,
              0,
              (form, input, real) -> true));

  private final Form form;
  private final List<Rule> rules = new ArrayList<>();
  private final boolean counted;

  Deviations(Form form) {
    this.form = form;
    String mnemonic = form.row().mnemonic();
    for (Rule rule : RULES) {
      if (rule.mnemonics().isEmpty() || rule.mnemonics().contains(mnemonic)) {
        rules.add(rule);
      }
    }
    counted =
        SHIFTS.contains(mnemonic) || ROTATES.contains(mnemonic) || DOUBLE_SHIFTS.contains(mnemonic);
  }

  static List<Rule> all() {
    return RULES;
  }

  /** Whether the case is not to be compared. */
  boolean leavesOut(CaseRecord input, CaseRecord real) {
    for (Rule rule : rules) {
      if (rule.effect() == Effect.CASE && rule.condition().holds(form, input, real)) {
        return true;
      }
    }
    return false;
  }

  boolean approximate() {
    return rules.stream().anyMatch(rule -> rule.effect() == Effect.APPROXIMATE);
  }

  /** Mask of x87 status word bits that may differ. */
  int x87Status(CaseRecord input, CaseRecord real) {
    int mask = 0;
    for (Rule rule : rules) {
      if (rule.effect() == Effect.X87_STATUS && rule.condition().holds(form, input, real)) {
        mask |= rule.flags();
      }
    }
    return mask;
  }

  /** Mask of RFLAGS bits that may differ. */
  int flags(CaseRecord input, CaseRecord real) {
    int mask = counted ? undefinedByCount(input) : form.row().undefinedFlags();
    for (Rule rule : rules) {
      if (rule.effect() == Effect.FLAGS && rule.condition().holds(form, input, real)) {
        mask |= rule.flags();
      }
    }
    return mask;
  }

  /**
   * The table's rows can only say that a flag is undefined for some counts; for the count at hand
   * the SDM is more precise (SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD: Flags Affected).
   */
  private int undefinedByCount(CaseRecord input) {
    int count = count(form, input);
    if (count == 0) {
      return 0;
    }
    String mnemonic = form.row().mnemonic();
    int mask = count == 1 ? 0 : Flags.OF;
    if (ROTATES.contains(mnemonic)) {
      return mask;
    }
    mask |= Flags.AF;
    if (!mnemonic.equals("SAR") && count >= width(form)) {
      mask |= Flags.CF;
    }
    return mask;
  }

  private static int width(Form form) {
    return form.row().operands().getFirst().width(form.operandWidth());
  }

  /** The masked count of a shift or rotate. */
  private static int count(Form form, CaseRecord input) {
    InstructionDefinition row = form.row();
    OperandDefinition last = row.operands().getLast();
    long count =
        switch (last.method()) {
          case CONSTANT -> last.fixedRegister();
          case IMMEDIATE -> input.getByte(8 + input.codeLength() - 1);
          default -> input.register(1);
        };
    return (int) count & (form.operandWidth() == 64 && width(form) == 64 ? 0x3f : 0x1f);
  }

  /** Whether the row has an operand of the kind. */
  static boolean has(InstructionDefinition row, Method method) {
    return row.operands().stream().anyMatch(operand -> operand.method() == method);
  }
}
