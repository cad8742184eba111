package dev.ringfence.oracle;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import dev.ringfence.oracle.Form.Place;

/**
 * Makes the cases of one form. Case n depends on the seed, the form's name and n only, so one that
 * fails can be made again alone.
 */
final class CaseGenerator {
  /** Consecutive cases with the same bytes: changing code costs the real processor time. */
  private static final int STATES_PER_ENCODING = 20;

  private static final int RAX = 0;
  private static final int RCX = 1;
  private static final int RDX = 2;
  private static final int RBX = 3;
  private static final int RSP = 4;
  private static final int RBP = 5;
  private static final int RSI = 6;
  private static final int RDI = 7;

  private final Form form;
  private final InstructionDefinition row;
  private final String mnemonic;
  private final long seed;
  private final int flags;
  private final int operandWidth;
  private final int memoryBytes;
  private long encodingNumber = -1;
  private Encoding encoding;
  private RandomValues random = new RandomValues(0);

  CaseGenerator(Form form, long seed) {
    this.form = form;
    this.row = form.row();
    this.mnemonic = row.mnemonic();
    this.seed = RandomValues.seed(seed, form.name().hashCode());
    this.operandWidth = form.operandWidth();
    this.memoryBytes = form.memoryBytes();
    boolean memory =
        form.place().isMemory() || Semantics.impliesMemory(row) || form.has(Method.OFFSET);
    this.flags =
        (form.codeWidth() == 32 ? CaseRecord.CODE32 : 0)
            | (Semantics.isFloating(row) ? CaseRecord.FLOATING : 0)
            | (memory ? CaseRecord.MEMORY : 0)
            | (Semantics.isBranch(row) ? CaseRecord.BRANCH : 0)
            | (mnemonic.endsWith("SBASE") ? CaseRecord.SEGMENTS : 0);
    this.encoding = Encoding.choose(form, random);
  }

  /** Makes case {@code number}. */
  void generate(long number, CaseRecord record) {
    long wanted = number / STATES_PER_ENCODING;
    if (wanted != encodingNumber) {
      encoding = Encoding.choose(form, new RandomValues(RandomValues.seed(seed, wanted)));
      encodingNumber = wanted;
    }
    random = new RandomValues(RandomValues.seed(seed, number, 1));
    record.clear();
    record.setFlags(flags);
    record.setCode(encoding.code());
    record.setRip(encoding.rip());
    record.setLong(CaseRecord.FS_BASE_AT, CaseRecord.FS_BASE);
    record.setLong(CaseRecord.GS_BASE_AT, CaseRecord.GS_BASE);
    int status = (int) random.next() & Flags.STATUS | (random.oneIn(4) ? Flags.DF : 0);
    record.setRflags(status | Flags.IF | Flags.ALWAYS_SET);
    registers(record);
    if ((flags & CaseRecord.MEMORY) != 0) {
      fillMemory(record);
    }
    if ((flags & CaseRecord.FLOATING) != 0) {
      floating(record);
    }
    long address = 0;
    if (form.place().isMemory() && row.usesModRm()) {
      address = modRmAddress(record);
      record.setLong(CaseRecord.OPERAND, address);
      memoryOperand(record, address);
    }
    implied(record);
    special(record, address);
    if (form.codeWidth() == 32) {
      for (int i = 0; i < 16; i++) {
        record.setRegister(i, i < 8 ? record.register(i) & 0xffffffffL : 0);
      }
    }
  }

  private void registers(CaseRecord record) {
    for (int i = 0; i < 16; i++) {
      long value =
          i > 0 && random.oneIn(8)
              ? record.register(random.below(i)) + random.below(3) - 1
              : random.integer();
      record.setRegister(i, value);
    }
  }

  private void fillMemory(CaseRecord record) {
    if (Semantics.isString(row) && random.oneIn(2)) {
      // Equal elements let repeated comparisons go on.
      long value = (record.register(RAX) & 0xff) * 0x0101010101010101L;
      for (int at = CaseRecord.MIDDLE_AT; at < CaseRecord.SIZE; at += 8) {
        record.setLong(at, value);
      }
      record.setRegister(RAX, value);
      int changes = random.below(4);
      for (int i = 0; i < changes; i++) {
        record.setByte(CaseRecord.MIDDLE_AT + 300 + random.below(400), (int) random.next());
      }
      return;
    }
    for (int at = CaseRecord.MIDDLE_AT; at < CaseRecord.SIZE; at += 8) {
      record.setLong(at, random.next());
    }
  }

  private void floating(CaseRecord record) {
    boolean x87 = Semantics.isX87(row) || mnemonic.startsWith("FX") || mnemonic.startsWith("XSAVE");
    int control = 0x37f;
    if (x87 && random.oneIn(2)) {
      control = 0x7f | random.below(4) << 10 | random.pick(0, 2, 3, 3, 3) << 8;
      if (random.oneIn(8)) {
        control &= ~(1 << random.below(6));
      }
    }
    int status = random.below(8) << 11 | random.below(8) << 8 | random.below(2) << 14;
    if (random.oneIn(4)) {
      status |= random.below(128) & (control & 0x3f | 0x40);
    }
    record.setShort(CaseRecord.FX, control);
    record.setShort(CaseRecord.FX_STATUS, status);
    record.setByte(CaseRecord.FX_TAGS, random.oneIn(8) ? random.below(256) : 0xff);
    int mxcsr = 0x1f80;
    if (random.oneIn(2)) {
      mxcsr |= random.below(4) << 13 | (random.oneIn(4) ? random.below(64) : 0);
      mxcsr |= random.oneIn(8) ? 0x8000 : 0;
      mxcsr |= random.oneIn(8) ? 0x40 : 0;
      if (random.oneIn(8)) {
        mxcsr &= ~(1 << 7 + random.below(6));
      }
    }
    record.setInt(CaseRecord.FX_MXCSR, mxcsr);
    for (int i = 0; i < 8; i++) {
      int at = CaseRecord.FX_STACK + 16 * i;
      if (x87) {
        random.extended(record, at);
      } else {
        random.vector(record, at, RandomValues.Lanes.INTEGERS);
        record.setLong(at + 8, random.oneIn(2) ? 0xffff : random.below(0x10000));
      }
    }
    RandomValues.Lanes lanes = Semantics.lanes(row);
    for (int i = 0; i < 16; i++) {
      int at = CaseRecord.FX_VECTORS + 16 * i;
      if (i > 0 && random.oneIn(8)) {
        int from = CaseRecord.FX_VECTORS + 16 * random.below(i);
        record.setLong(at, record.getLong(from));
        record.setLong(at + 8, record.getLong(from + 8));
      } else {
        random.vector(record, at, lanes);
      }
    }
  }

  /** Chooses the address of the ModRM operand and the registers that lead there. */
  private long modRmAddress(CaseRecord record) {
    if (encoding.fixedAddress()) {
      return encoding.displacement()
          + switch (form.place()) {
            case FS -> CaseRecord.FS_BASE;
            case GS -> CaseRecord.GS_BASE;
            default -> 0;
          };
    }
    boolean wide = form.addressWidth() == 64;
    long address = Addresses.choose(random, form, wide);
    long offset = address;
    if (form.codeWidth() == 64) {
      if (form.place() == Place.FS) {
        offset -= CaseRecord.FS_BASE;
      } else if (form.place() == Place.GS) {
        offset -= CaseRecord.GS_BASE;
      }
    }
    long rest = offset - encoding.displacement();
    if (encoding.base() < 0) {
      // Absolute with an index: displacement is the address already.
      record.setRegister(encoding.index(), 0);
      return encoding.displacement();
    }
    if (encoding.index() >= 0) {
      rest -= record.register(encoding.index()) << encoding.scale();
    }
    record.setRegister(encoding.base(), wide ? rest : rest & 0xffffffffL | highHalf());
    return address;
  }

  private long highHalf() {
    return form.codeWidth() == 64 ? random.integer() << 32 : 0;
  }

  /** Puts a value worth computing with at the ModRM operand. */
  private void memoryOperand(CaseRecord record, long address) {
    if ((flags & CaseRecord.FLOATING) == 0) {
      if (memoryBytes > 0 && memoryBytes <= 8) {
        record.putMemory(address, memoryBytes, random.integer());
      }
      return;
    }
    if (Semantics.isX87(row)) {
      x87Operand(record, address);
      return;
    }
    if (memoryBytes == 0 || memoryBytes > 16) {
      return;
    }
    CaseRecord value = new CaseRecord();
    random.vector(value, 0, Semantics.lanes(row));
    if (random.oneIn(8)) {
      int from = CaseRecord.FX_VECTORS + 16 * random.below(16);
      value.setLong(0, record.getLong(from));
      value.setLong(8, record.getLong(from + 8));
    }
    if (mnemonic.equals("LDMXCSR")) {
      value.setInt(0, random.below(0x10000) | (random.oneIn(8) ? 1 << 18 + random.below(14) : 0));
    }
    record.putMemory(address, Math.min(8, memoryBytes), value.getLong(0));
    if (memoryBytes > 8) {
      record.putMemory(address + 8, memoryBytes - 8, value.getLong(8));
    }
  }

  private void x87Operand(CaseRecord record, long address) {
    switch (memoryBytes) {
      case 2 ->
          record.putMemory(
              address, 2, mnemonic.equals("FLDCW") ? random.next() | 0x3f : random.integer());
      case 4 -> record.putMemory(address, 4, random.oneIn(2) ? random.single() : random.integer());
      case 8 ->
          record.putMemory(address, 8, random.oneIn(2) ? random.doubleBits() : random.integer());
      case 10 -> {
        CaseRecord value = new CaseRecord();
        random.extended(value, 0);
        if (mnemonic.equals("FBLD")) {
          for (int i = 0; i < 9; i++) {
            value.setByte(i, random.below(10) << 4 | random.below(10));
          }
          value.setByte(9, random.below(2) << 7);
        }
        record.putMemory(address, 8, value.getLong(0));
        record.putMemory(address + 8, 2, value.getShort(8));
      }
      default -> {}
    }
  }

  /** Registers that address memory without ModRM. */
  private void implied(CaseRecord record) {
    if (Semantics.isString(row)) {
      string(record);
    } else if (Semantics.usesStack(row)) {
      stack(record);
    } else if (mnemonic.equals("XLAT")) {
      long target = Addresses.choose(random, 1, 1, form.addressWidth() == 64);
      setAddress(record, RBX, target - (record.register(RAX) & 0xff));
    } else if (mnemonic.startsWith("MASKMOV")) {
      setAddress(record, RDI, CaseRecord.MIDDLE + random.below(CaseRecord.MIDDLE_SIZE - 16));
    }
  }

  private void setAddress(CaseRecord record, int register, long address) {
    boolean wide = form.addressWidth() == 64;
    record.setRegister(register, wide ? address : address & 0xffffffffL | highHalf());
  }

  private void string(CaseRecord record) {
    int size = row.operands().getFirst().width(operandWidth) / 8;
    boolean forwards = (record.rflags() & Flags.DF) == 0;
    long source = stringAddress(size, forwards);
    long destination =
        random.oneIn(4) ? source + random.below(33) - 16 : stringAddress(size, forwards);
    if (form.codeWidth() == 64 && form.place() == Place.FS) {
      source -= CaseRecord.FS_BASE;
    }
    setAddress(record, RSI, source);
    setAddress(record, RDI, destination);
    if (form.repeatPrefix() != 0) {
      setAddress(record, RCX, random.oneIn(16) ? random.below(2) : random.below(14));
    }
  }

  private long stringAddress(int size, boolean forwards) {
    return switch (random.below(8)) {
      case 0 ->
          forwards
              ? CaseRecord.DATA_BASE + CaseRecord.DATA_SIZE - (long) size * random.below(8)
              : CaseRecord.DATA_BASE + 0x1000 + random.below(64);
      case 1 -> CaseRecord.DATA_BASE + 0x1000 - random.below(64);
      default -> CaseRecord.MIDDLE + 300 + random.below(400);
    };
  }

  private void stack(CaseRecord record) {
    long pointer = CaseRecord.MIDDLE + 400 + random.below(400);
    if (random.oneIn(2)) {
      pointer &= -8;
    }
    boolean manyAccesses =
        mnemonic.equals("PUSHA") || mnemonic.equals("POPA") || mnemonic.equals("ENTER");
    if (!manyAccesses && random.oneIn(16)) {
      pointer = CaseRecord.DATA_BASE + CaseRecord.DATA_SIZE + random.below(33) - 16;
    } else if (!manyAccesses && form.codeWidth() == 64 && random.oneIn(64)) {
      pointer = 0x0000_8000_0000_0000L + random.below(16);
    }
    long frame = CaseRecord.MIDDLE + 400 + random.below(300);
    record.setRegister(RSP, pointer);
    if (mnemonic.equals("LEAVE")) {
      record.setRegister(RBP, random.oneIn(8) ? pointer : frame);
      return;
    }
    if (mnemonic.equals("ENTER")) {
      record.setRegister(RBP, frame);
    }
    if (mnemonic.startsWith("POPF")) {
      // No trap flag: the runner's own code would be stepped.
      long image = random.next() & ~(long) (Flags.TF | Flags.AC | Flags.NT | Flags.RF | Flags.VM);
      record.putMemory(pointer, 8, image);
    }
    if (mnemonic.equals("RET")) {
      record.putMemory(pointer, 8, target());
    }
  }

  /** A place to jump to that is not inside the instruction. */
  private long target() {
    long next = encoding.rip() + encoding.code().length;
    long target;
    do {
      target =
          random.oneIn(8)
              ? Addresses.choose(random, 8, 1, false)
              : CaseRecord.CODE_BASE + random.below((int) CaseRecord.CODE_SIZE);
    } while (target >= encoding.rip() && target < next);
    return target;
  }

  /** Values that make the interesting paths of an instruction likely. */
  private void special(CaseRecord record, long address) {
    boolean memory = form.place().isMemory();
    int width = row.operands().isEmpty() ? operandWidth : firstWidth();
    switch (mnemonic) {
      case "DIV", "IDIV" -> dividend(record, width);
      case "CMPXCHG" -> {
        if (random.oneIn(2)) {
          if (memory) {
            record.putMemory(address, width / 8, record.register(RAX));
          } else if (encoding.rm() != RSP) {
            record.setRegister(encoding.rm(), record.register(RAX));
          }
        }
      }
      case "CMPXCHG8B", "CMPXCHG16B" -> {
        if (random.oneIn(2)) {
          int half = memoryBytes / 2;
          record.putMemory(address, half, record.register(RAX));
          record.putMemory(address + half, half, record.register(RDX));
        }
      }
      case "BT", "BTS", "BTR", "BTC" -> {
        if (memory && form.has(Method.GENERAL)) {
          bitOffset(record, width, address);
        }
      }
      case "SHL", "SHR", "SAR", "ROL", "ROR", "RCL", "RCR", "SHLD", "SHRD" -> {
        if (encoding.base() != RCX && encoding.index() != RCX) {
          record.setRegister(
              RCX, record.register(RCX) & ~0xffL | random.shiftCount(operandWidth) & 0xff);
        }
      }
      case "LOOP", "LOOPE", "LOOPNE", "JCXZ" -> {
        if (random.oneIn(2)) {
          setAddress(record, RCX, random.below(3));
        }
      }
      case "JMP", "CALL" -> {
        if (form.has(Method.GENERAL_OR_MEMORY)) {
          if (memory) {
            record.putMemory(address, 8, target());
          } else if (!(mnemonic.equals("CALL") && encoding.rm() == RSP)) {
            record.setRegister(encoding.rm(), target());
          }
        }
      }
      case "BOUND" -> {
        if (random.oneIn(2)) {
          record.putMemory(address, width / 8, -(long) random.below(1000));
          record.putMemory(address + width / 8, width / 8, random.below(1000));
        }
      }
      case "FXRSTOR" -> fxImage(record, address);
      case "XSAVE", "XSAVEOPT", "XSAVEC", "XRSTOR" -> {
        record.setRegister(RAX, random.below(4));
        record.setRegister(RDX, 0);
        fxImage(record, address);
        for (int i = 0; i < 64; i += 8) {
          record.putMemory(address + 512 + i, 8, i == 0 ? random.below(4) : 0);
        }
      }
      default -> {}
    }
  }

  private int firstWidth() {
    OperandDefinition first = row.operands().getFirst();
    return first.type().endsWith("byte") ? 0 : first.width(operandWidth);
  }

  /** Half of the time a dividend whose quotient is likely to fit. */
  private void dividend(CaseRecord record, int width) {
    if (random.oneIn(2)) {
      return;
    }
    boolean signed = mnemonic.equals("IDIV");
    boolean addressed = encoding.base() == RAX || encoding.index() == RAX;
    if (width == 8 && !addressed) {
      int low = (int) random.integer();
      record.setRegister(
          RAX, record.register(RAX) & ~0xffffL | (signed ? (byte) low & 0xffff : low & 0xff));
    } else if (encoding.base() != RDX && encoding.index() != RDX) {
      long rax = record.register(RAX) << 64 - width >> 63;
      record.setRegister(RDX, signed ? rax : random.below(3));
    }
  }

  private void bitOffset(CaseRecord record, int width, long address) {
    if (address < CaseRecord.MIDDLE + 256 || address >= CaseRecord.MIDDLE + 768) {
      record.setRegister(encoding.reg(), random.below(width));
      return;
    }
    long offset = random.oneIn(2) ? random.below(width) : random.below(3600) - 1800;
    // Bits above the operand width do not count.
    record.setRegister(
        encoding.reg(), width == 64 ? offset : offset & (1L << width) - 1 | random.next() << width);
  }

  private void fxImage(CaseRecord record, long address) {
    CaseRecord image = new CaseRecord();
    floating(image);
    for (int i = 0; i < CaseRecord.FX_SIZE; i += 8) {
      record.putMemory(address + i, 8, image.getLong(CaseRecord.FX + i));
    }
  }
}
