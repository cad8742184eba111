package dev.ringfence.oracle;

import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import dev.ringfence.oracle.Form.Place;
import dev.ringfence.oracle.Form.Rex;
import java.io.ByteArrayOutputStream;

/**
 * The bytes of one instruction of a form, with registers, immediates and address shape chosen; and
 * what the choice of a state must know of them. Written from SDM volume 2, chapter 2, without the
 * decoder, because the decoder is among what is tested.
 */
final class Encoding {
  private static final int RSP = 4;
  private static final int RBP = 5;

  private final Form form;
  private final RandomValues random;
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

  private byte[] code = {};
  private long rip;
  private int reg = -1;
  private int rm = -1;
  private int base = -1;
  private int index = -1;
  private int scale;
  private long displacement;
  private boolean fixedAddress;
  private boolean ripRelative;
  private int displacementAt = -1;

  private Encoding(Form form, RandomValues random) {
    this.form = form;
    this.random = random;
  }

  /** Chooses an encoding. */
  static Encoding choose(Form form, RandomValues random) {
    Encoding encoding = new Encoding(form, random);
    encoding.encode();
    return encoding;
  }

  byte[] code() {
    return code;
  }

  /** Where the instruction is to lie. */
  long rip() {
    return rip;
  }

  /** ModRM.reg with REX.R, or the register in the opcode, or -1. */
  int reg() {
    return reg;
  }

  /** ModRM.rm with REX.B where it names a register, or -1. */
  int rm() {
    return rm;
  }

  /** Base register of the memory operand, or -1. */
  int base() {
    return base;
  }

  /** Index register of the memory operand, or -1. */
  int index() {
    return index;
  }

  int scale() {
    return scale;
  }

  long displacement() {
    return displacement;
  }

  /** Whether the address is in the instruction; it is then {@link #displacement}. */
  boolean fixedAddress() {
    return fixedAddress;
  }

  private void encode() {
    int rexBits = rexBits();
    prefixes();
    if (form.rex() != Rex.NONE) {
      bytes.write(0x40 | rexBits | (form.rex() == Rex.WIDE ? 8 : 0));
    }
    int map = form.row().map();
    if (map != 0) {
      bytes.write(0x0f);
    }
    if (map == 2) {
      bytes.write(0x38);
    } else if (map == 3) {
      bytes.write(0x3a);
    }
    if (form.row().registerInOpcode()) {
      int low = random.below(8);
      reg = low | (rexBits & 1) << 3;
      bytes.write(form.row().opcode() | low);
    } else {
      bytes.write(form.row().opcode());
    }
    if (form.row().usesModRm()) {
      modRm(rexBits);
    }
    long codeStart = CaseRecord.CODE_BASE + 0x800;
    boolean branch = form.has(Method.RELATIVE);
    for (OperandDefinition operand : form.row().operands()) {
      immediate(operand);
    }
    int length = bytes.size() + (branch ? relativeBytes() : 0);
    rip = position(codeStart, length);
    if (branch) {
      relative(length);
    }
    code = bytes.toByteArray();
    if (ripRelative) {
      long relative = displacement - rip - length;
      for (int i = 0; i < 4; i++) {
        code[displacementAt + i] = (byte) (relative >> 8 * i);
      }
    }
  }

  /** Mostly in the middle of a page; sometimes across two, or at the end of what is mapped. */
  private long position(long usual, int length) {
    return switch (random.below(32)) {
      case 0, 1 -> CaseRecord.CODE_BASE + 0x1000 - random.below(length);
      case 2 -> CaseRecord.CODE_BASE + CaseRecord.CODE_SIZE - length;
      case 3 -> CaseRecord.CODE_BASE + CaseRecord.CODE_SIZE - 1 - random.below(length);
      default -> usual + random.below(64);
    };
  }

  private int rexBits() {
    return form.rex() == Rex.NONE ? 0 : random.below(8);
  }

  private void prefixes() {
    switch (form.place()) {
      case FS -> bytes.write(0x64);
      case GS -> bytes.write(0x65);
      case MEMORY -> {
        // In 64-bit mode these overrides are ignored; in 32-bit code all segments are the same.
        if (random.oneIn(16)) {
          bytes.write(random.pick(0x26, 0x3e, 0x36));
        }
      }
      default -> {}
    }
    if (form.place() == Place.ADDRESS_SIZE) {
      bytes.write(0x67);
    }
    if (form.operandSizePrefix()) {
      bytes.write(0x66);
    }
    if (form.repeatPrefix() != 0) {
      bytes.write(form.repeatPrefix());
    }
    if (form.lock()) {
      bytes.write(0xf0);
    }
  }

  private void modRm(int rexBits) {
    int regField = form.row().extension() >= 0 ? form.row().extension() : random.below(8);
    if (form.has(Method.SEGMENT)) {
      regField = random.pick(0, 1, 2, 3, 4, 5);
    }
    reg = regField | (rexBits & 4) << 1;
    if (!form.place().isMemory()) {
      int rmField = form.row().rm() >= 0 ? form.row().rm() : random.below(8);
      rm = rmField | (rexBits & 1) << 3;
      bytes.write(0xc0 | regField << 3 | rmField);
      return;
    }
    switch (form.place()) {
      case RIP_RELATIVE -> {
        bytes.write(regField << 3 | 5);
        fixedAddress = true;
        ripRelative = true;
        displacement = Addresses.choose(random, form, false);
        displacementAt = bytes.size();
        little(0, 4);
      }
      case ABSOLUTE -> {
        fixedAddress = true;
        displacement = Addresses.choose(random, form, false);
        if (form.codeWidth() == 64) {
          bytes.write(regField << 3 | 4);
          bytes.write(0x25 | random.below(4) << 6);
        } else {
          bytes.write(regField << 3 | 5);
        }
        // Without REX.X the index field 100B means none; with it R12 takes part.
        if (form.codeWidth() == 64 && (rexBits & 2) != 0) {
          index = 12;
          scale = bytes.toByteArray()[bytes.size() - 1] >> 6 & 3;
          fixedAddress = false;
        }
        little(displacement, 4);
      }
      default -> based(regField, rexBits);
    }
  }

  private void based(int regField, int rexBits) {
    int excluded = registersWithOtherUse();
    int baseField;
    do {
      baseField = random.below(8);
    } while ((excluded >>> (baseField | (rexBits & 1) << 3) & 1) != 0);
    boolean sib = baseField == RSP || random.oneIn(3);
    base = baseField | (rexBits & 1) << 3;
    int indexField = 4;
    if (sib) {
      do {
        indexField = random.below(8);
        index = indexField | (rexBits & 2) << 2;
      } while (index == base || index != RSP && (excluded >>> index & 1) != 0);
      if (index == RSP) {
        index = -1;
      }
      scale = random.below(4);
    }
    int mod = random.below(3);
    if (mod == 0 && baseField == RBP) {
      mod = 1;
    }
    bytes.write(mod << 6 | regField << 3 | (sib ? 4 : baseField));
    if (sib) {
      bytes.write(scale << 6 | indexField << 3 | baseField);
    }
    if (mod == 1) {
      displacement = (byte) random.next();
      little(displacement, 1);
    } else if (mod == 2) {
      displacement = (int) random.integer();
      little(displacement, 4);
    }
  }

  /**
   * Mask of registers that must not be part of the address, because the case sets them to something
   * else: the bit offset of BT, the component mask of XSAVE, the stack pointer.
   */
  private int registersWithOtherUse() {
    String mnemonic = form.row().mnemonic();
    if (mnemonic.startsWith("BT") && form.has(Method.GENERAL)) {
      return 1 << reg;
    }
    if (mnemonic.startsWith("XSAVE") || mnemonic.equals("XRSTOR")) {
      return 1 | 1 << 2;
    }
    return Semantics.usesStack(form.row()) ? 1 << RSP : 0;
  }

  private void immediate(OperandDefinition operand) {
    switch (operand.method()) {
      case IMMEDIATE -> {
        int width =
            switch (operand.type()) {
              case "b", "b2" -> 8;
              case "w" -> 16;
              case "z" -> Math.min(form.operandWidth(), 32);
              default -> form.operandWidth();
            };
        little(immediateValue(operand, width), width / 8);
      }
      case OFFSET -> {
        fixedAddress = true;
        // AMD's processors check the offset too, before the base of FS is added; Intel's do not.
        boolean nonCanonical = form.addressWidth() == 64 && form.place() != Place.FS;
        displacement = Addresses.choose(random, form, nonCanonical);
        little(displacement, form.addressWidth() / 8);
      }
      default -> {}
    }
  }

  private long immediateValue(OperandDefinition operand, int width) {
    return switch (form.row().mnemonic()) {
      case "ENTER" ->
          operand.type().equals("b2")
              ? random.below(4) + (random.oneIn(4) ? 32 : 0)
              : random.below(32);
      case "SHL", "SHR", "SAR", "ROL", "ROR", "RCL", "RCR", "SHLD", "SHRD" ->
          random.shiftCount(form.operandWidth());
      default -> width == 8 && random.oneIn(2) ? random.next() : random.integer();
    };
  }

  private int relativeBytes() {
    return form.row().operands().getFirst().type().equals("b")
        ? 1
        : Math.min(form.operandWidth(), 32) / 8;
  }

  /** A displacement that leads to INT3 in the code pages, or out of them. */
  private void relative(int length) {
    int size = relativeBytes();
    long next = rip + length;
    long target;
    do {
      if (size == 1) {
        target = next + (byte) random.next();
      } else if (random.oneIn(8)) {
        target = next + (int) random.integer();
      } else {
        target = CaseRecord.CODE_BASE + random.below((int) CaseRecord.CODE_SIZE);
      }
    } while (target >= rip && target < next);
    little(target - next, size);
  }

  private void little(long value, int size) {
    for (int i = 0; i < size; i++) {
      bytes.write((int) (value >> 8 * i));
    }
  }
}
