package dev.ringfence.oracle;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.OperandDefinition;
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
    /** x87 and MMX state if the case ends with an exception. */
    X87_AT_EXCEPTION,
    /** The whole case. */
    CASE,
    /** Which of the exceptions that both raise comes first. */
    EXCEPTION,
    /** The address of a page fault within its page. */
    FAULT_OFFSET,
    /** Bytes of the memory operand, {@link Rule#from} to {@link Rule#to}, the latter excluded. */
    BYTES,
    /** The last places of x87 results, and what the status word says of rounding. */
    LAST_PLACE,
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
      int from,
      int to,
      Condition condition) {

    /** Mask of flags. */
    int flags() {
      return from;
    }
  }

  private static Rule always(
      String name, String source, Set<String> mnemonics, Effect effect, int from, int to) {
    return new Rule(name, source, mnemonics, effect, from, to, (form, input, real) -> true);
  }

  private static final int X87_C0 = 0x100;
  private static final int X87_C1 = 0x200;
  private static final int X87_C2 = 0x400;
  private static final int X87_C3 = 0x4000;
  private static final int X87_ERROR_SUMMARY = 0x80;
  private static final boolean AMD = HostFeatures.vendor().equals("AuthenticAMD");
  private static final String X87_POINTERS =
      "AMD APM volume 2, section 11.4.4: FXRSTOR, which sets up a case, and FXSAVE care for FOP, FIP"
          + " and FDP only while an exception is pending";
  private static final Set<String> SHIFTS = Set.of("SHL", "SHR", "SAR");
  private static final Set<String> ROTATES = Set.of("ROL", "ROR", "RCL", "RCR");
  private static final Set<String> DOUBLE_SHIFTS = Set.of("SHLD", "SHRD");

  private static final Set<String> LARGE_OPERANDS =
      Set.of(
          "FXSAVE",
          "FXRSTOR",
          "XSAVE",
          "XSAVEOPT",
          "XSAVEC",
          "XRSTOR",
          "FLDENV",
          "FNSTENV",
          "FRSTOR",
          "FNSAVE");

  private static final List<Rule> RULES =
      List.of(
          new Rule(
              "wide double shift",
              "SDM volume 2, SHLD: if the count is greater than the operand size, the result is"
                  + " undefined",
              DOUBLE_SHIFTS,
              Effect.CASE,
              0,
              0,
              (form, input, real) -> count(form, input) > form.operandWidth()),
          new Rule(
              "short BSWAP",
              "SDM volume 2, BSWAP: the result for a 16-bit register is undefined",
              Set.of("BSWAP"),
              Effect.CASE,
              0,
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
              0,
              (form, input, real) ->
                  AMD
                      && form.codeWidth() == 64
                      && form.operandSizePrefix()
                      && form.row().mandatoryPrefix() != 0x66
                      && Semantics.isBranch(form.row())),
          new Rule(
              "66 before MOVSXD",
              "SDM volume 2, MOVSXD r16, r/m16 reads 16 bits; AMD's processors read 32",
              Set.of("MOVSXD"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> AMD && form.operandWidth() == 16 && form.place().isMemory()),
          new Rule(
              "0F 0D with a register",
              "SDM volume 2, opcode map A-3: NOP; AMD APM volume 3, PREFETCH: #UD",
              Set.of("NOP"),
              Effect.CASE,
              0,
              0,
              (form, input, real) ->
                  AMD && form.row().opcode() == 0x0d && form.place() == Form.Place.REGISTER),
          new Rule(
              "LOCK before MOV to and from control registers",
              "SDM volume 2, MOV CRn: #UD; AMD APM volume 3, MOV CRn: names CR8",
              Set.of("MOV_CR"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> AMD && form.lock()),
          new Rule(
              "MOVNTSS and MOVNTSD",
              "AMD APM volume 4: F3 and F2 0F 2B are instructions of SSE4A, which only AMD has",
              Set.of("MOVNTPS"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> AMD && form.repeatPrefix() != 0),
          new Rule(
              "page fault at the end of an invalid instruction",
              "SDM volume 3, table 6-2: how much of an instruction is fetched before it is found to"
                  + " be invalid depends on the implementation",
              Set.of(),
              Effect.EXCEPTION,
              0,
              0,
              (form, input, real) ->
                  form.isRefused()
                      && input.rip() + input.codeLength()
                          > CaseRecord.CODE_BASE + CaseRecord.CODE_SIZE),
          always(
              "operands of UD0 and UD1",
              "SDM volume 2, UD: some processors decode UD0 without ModRM, so that a page fault"
                  + " at its end does not come first",
              Set.of("UD0", "UD1"),
              Effect.EXCEPTION,
              0,
              0),
          always(
              "x87 state at a SIMD floating-point exception",
              "SDM volume 2, CVTPD2PI and others: cause a transition to MMX; whether before #XM is"
                  + " raised is not said",
              Set.of("CVTPD2PI", "CVTPS2PI", "CVTTPD2PI", "CVTTPS2PI", "CVTPI2PS", "CVTPI2PD"),
              Effect.X87_AT_EXCEPTION,
              0,
              0),
          new Rule(
              "flags of a repeated comparison that faults",
              "SDM volume 2, REP: restored to the state before the instruction; AMD's processors"
                  + " keep those of the last comparison",
              Set.of("CMPS", "SCAS"),
              Effect.CASE,
              0,
              0,
              (form, input, real) ->
                  AMD && form.repeatPrefix() != 0 && real.flags() == CaseRecord.EXCEPTION),
          new Rule(
              "upper halves of registers after no or half a repetition",
              "SDM volume 2, REP, does not say whether RCX, RSI and RDI are extended by zeros if"
                  + " the address size is 32 bits and the count is zero or an element faults: Intel's"
                  + " processors do it",
              Set.of("MOVS", "STOS", "LODS", "CMPS", "SCAS"),
              Effect.CASE,
              0,
              0,
              (form, input, real) ->
                  !AMD
                      && form.codeWidth() == 64
                      && form.addressWidth() == 32
                      && form.repeatPrefix() != 0
                      && ((int) input.register(1) == 0 || real.flags() == CaseRecord.EXCEPTION)),
          always(
              "MMX state at a store that faults",
              "SDM volume 2, MOVD, MOVQ, MOVNTQ: cause a transition to MMX; whether before a fault"
                  + " is not said, and vendors differ",
              Set.of("MOVD", "MOVQ", "MOVNTQ"),
              Effect.X87_AT_EXCEPTION,
              0,
              0),
          new Rule(
              "which NaN a dot product gives",
              "SDM volume 2, DPPS and DPPD: products are added in some order, and which of several"
                  + " NaNs comes through depends on the implementation",
              Set.of("DPPS", "DPPD"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> !AMD && givesNan(form, input, real)),
          new Rule(
              "store that raises an unmasked exception",
              "SDM volume 2, FST, FIST, FBSTP: with an unmasked exception nothing is stored; whether"
                  + " a fault of the store is found before is not said",
              Set.of("FST", "FSTP", "FBSTP", "FIST", "FISTP", "FISTTP"),
              Effect.CASE,
              0,
              0,
              (form, input, real) ->
                  !AMD
                      && real.flags() == CaseRecord.COMPLETED
                      && (real.getShort(CaseRecord.FX_STATUS) & X87_ERROR_SUMMARY) != 0),
          new Rule(
              "first part of a store of ten bytes that faults",
              "SDM volume 3, section 8.1.1: a store over the end of a page is more than one access;"
                  + " AMD's processors check both pages first",
              Set.of("FSTP", "FBSTP"),
              Effect.BYTES,
              0,
              10,
              (form, input, real) -> !AMD && real.flags() == CaseRecord.EXCEPTION),
          new Rule(
              "PTWRITE",
              "SDM volume 2, PTWRITE: F3 0F AE /4, which only some processors have",
              Set.of("XSAVE"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> !AMD && form.repeatPrefix() == 0xf3),
          new Rule(
              "PAUSE with REX.B",
              "SDM volume 2, PAUSE and XCHG: F3 90 is PAUSE, REX.B makes 90 an exchange with R8;"
                  + " AMD's processors exchange, Intel's pause",
              Set.of("PAUSE"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> !AMD && hasRexB(input)),
          new Rule(
              "push of a segment register with 32 bits",
              "SDM volume 2, PUSH: recent processors of Intel's write 16 bits and leave the upper"
                  + " half alone, others write zeros",
              Set.of("PUSH_SREG"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> !AMD && form.operandWidth() == 32),
          always(
              "order of two memory accesses",
              "SDM volume 3, section 7.9: the order of exceptions of equal priority within one"
                  + " instruction depends on the implementation",
              Set.of("CMPS", "CALL", "BOUND"),
              Effect.EXCEPTION,
              0,
              0),
          always(
              "page fault inside a large operand",
              "SDM volume 3, section 4.7: CR2 holds an address that faulted; which byte of an"
                  + " operand of many bytes is touched first depends on the implementation",
              LARGE_OPERANDS,
              Effect.FAULT_OFFSET,
              0,
              0),
          new Rule(
              "misaligned and not canonical",
              "SDM volume 3, table 6-2: #GP and #SS of one access have equal priority",
              LARGE_OPERANDS,
              Effect.EXCEPTION,
              0,
              0,
              (form, input, real) -> real.vector() == ProcessorException.GENERAL_PROTECTION),
          new Rule(
              "x87 pointers in a 28-byte environment",
              X87_POINTERS,
              Set.of("FNSTENV", "FNSAVE"),
              Effect.BYTES,
              12,
              28,
              (form, input, real) -> form.operandWidth() != 16),
          new Rule(
              "x87 pointers in a 14-byte environment",
              X87_POINTERS,
              Set.of("FNSTENV", "FNSAVE"),
              Effect.BYTES,
              6,
              14,
              (form, input, real) -> form.operandWidth() == 16),
          new Rule(
              "condition codes with an unmasked exception",
              "SDM volume 2, FCOM: an unmasked #IA leaves them alone; processors of both vendors"
                  + " set them, AMD's not where #D is unmasked",
              Set.of(
                  "FCOM", "FCOMP", "FCOMPP", "FUCOM", "FUCOMP", "FUCOMPP", "FICOM", "FICOMP",
                  "FTST"),
              Effect.X87_STATUS,
              X87_C0 | X87_C2 | X87_C3,
              0,
              (form, input, real) -> (input.getShort(CaseRecord.FX) & 3) != 3),
          new Rule(
              "flags with an unmasked x87 exception",
              "SDM volume 2, FCOMI: an unmasked #IA leaves them alone; processors of both vendors set"
                  + " them, AMD's not where #D is unmasked",
              Set.of("FCOMI", "FCOMIP", "FUCOMI", "FUCOMIP"),
              Effect.FLAGS,
              Flags.STATUS,
              0,
              (form, input, real) -> (input.getShort(CaseRecord.FX) & 3) != 3),
          always(
              "C1 after FCOMI",
              "SDM volume 2, FCOMI: C1 is set to 0; processors of both vendors leave it alone",
              Set.of("FCOMI", "FCOMIP", "FUCOMI", "FUCOMIP"),
              Effect.X87_STATUS,
              X87_C1,
              0),
          new Rule(
              "quotient bits of a partial remainder",
              "SDM volume 2, FPREM: C0, C1 and C3 hold bits of the quotient if the reduction is"
                  + " complete (C2 = 0)",
              Set.of("FPREM", "FPREM1"),
              Effect.X87_STATUS,
              X87_C0 | X87_C1 | X87_C3,
              0,
              (form, input, real) -> (real.getShort(CaseRecord.FX_STATUS) & X87_C2) != 0),
          new Rule(
              "functions outside their domain",
              "SDM volume 2, F2XM1 and FYL2XP1: outside -1 to 1 and about -0.29 to 0.29 the result"
                  + " is undefined",
              Set.of("F2XM1", "FYL2XP1"),
              Effect.CASE,
              0,
              0,
              (form, input, real) -> outsideDomain(form, input)),
          always(
              "MXCSR_MASK",
              "SDM volume 1, section 11.6.6: tells which bits of MXCSR exist, and AMD has bit 17",
              Set.of("FXSAVE", "XSAVE", "XSAVEOPT", "XSAVEC"),
              Effect.BYTES,
              28,
              32),
          always(
              "x87 instruction and operand pointers",
              "AMD APM volume 2, section 11.4.4: FXSAVE stores FOP, FIP and FDP only while an"
                  + " exception is pending; the SDM (volume 1, section 8.1.8) makes other"
                  + " exceptions for its processors",
              Set.of("FXSAVE", "XSAVE", "XSAVEOPT", "XSAVEC"),
              Effect.BYTES,
              6,
              24),
          always(
              "transcendental functions",
              "SDM volume 1, section 8.3.10: results are within 1 unit in the last place, and the"
                  + " bits are the vendor's; C1 and PE follow from them",
              Semantics.TRANSCENDENTAL,
              Effect.LAST_PLACE,
              0,
              0),
          always(
              "approximations",
              "SDM volume 2, RCPPS and RSQRTPS: relative error at most 1.5 * 2^-12; the bits are"
                  + " the vendor's",
              Set.of("RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"),
              Effect.APPROXIMATE,
              0,
              0));

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

  /** Whether the destination of 0F 3A 40 or 41 has a NaN. */
  private static boolean givesNan(Form form, CaseRecord input, CaseRecord real) {
    byte[] code = input.code();
    int at = 0;
    while (code[at] != 0x3a) {
      at++;
    }
    int prefix = at >= 2 ? code[at - 2] : 0;
    int register = (code[at + 2] >>> 3 & 7) + ((prefix & 0xf4) == 0x44 ? 8 : 0);
    int vector = CaseRecord.FX_VECTORS + 16 * register;
    for (int i = 0; i < 16; i += 4) {
      if (form.row().mnemonic().equals("DPPS")
          ? Float.isNaN(Float.intBitsToFloat(real.getInt(vector + i)))
          : Double.isNaN(Double.longBitsToDouble(real.getLong(vector + (i & 8))))) {
        return true;
      }
    }
    return false;
  }

  /** Whether the byte before a one-byte opcode is a REX prefix with bit 0. */
  private static boolean hasRexB(CaseRecord input) {
    byte[] code = input.code();
    return code.length > 1 && (code[code.length - 2] & 0xf1) == 0x41;
  }

  /** Whether ST(0), unless it is no number, is too large for F2XM1 or FYL2XP1. */
  private static boolean outsideDomain(Form form, CaseRecord input) {
    int exponent = input.getShort(CaseRecord.FX_STACK + 8) & 0x7fff;
    int limit = form.row().mnemonic().equals("F2XM1") ? 0x3fff : 0x3ffd;
    return exponent >= limit && exponent != 0x7fff;
  }

  /** Whether the case is not to be compared. */
  boolean leavesOut(CaseRecord input, CaseRecord real) {
    return applies(Effect.CASE, input, real);
  }

  /** Whether some rule with the effect applies. */
  boolean applies(Effect effect, CaseRecord input, CaseRecord real) {
    for (Rule rule : rules) {
      if (rule.effect() == effect && rule.condition().holds(form, input, real)) {
        return true;
      }
    }
    return false;
  }

  /** Mask of x87 status word bits that may differ. */
  int x87Status(CaseRecord input, CaseRecord real) {
    return flagsOfRules(Effect.X87_STATUS, input, real);
  }

  /** Mask of RFLAGS bits that may differ. */
  int flags(CaseRecord input, CaseRecord real) {
    int mask = counted ? undefinedByCount(input) : form.row().undefinedFlags();
    return mask | flagsOfRules(Effect.FLAGS, input, real);
  }

  private int flagsOfRules(Effect effect, CaseRecord input, CaseRecord real) {
    int mask = 0;
    for (Rule rule : rules) {
      if (rule.effect() == effect && rule.condition().holds(form, input, real)) {
        mask |= rule.flags();
      }
    }
    return mask;
  }

  /** Whether a byte of memory may differ. */
  boolean ignoresByte(long address, CaseRecord input, CaseRecord real) {
    long offset = address - input.getLong(CaseRecord.OPERAND);
    for (Rule rule : rules) {
      if (rule.effect() == Effect.BYTES
          && offset >= rule.from()
          && offset < rule.to()
          && rule.condition().holds(form, input, real)) {
        return true;
      }
    }
    return false;
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
}
