package dev.ringfence.silicon;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * Assembles the few 64-bit instructions that tests of silicon are made of. Registers are numbered
 * as in encodings (RAX 0, RCX 1, RDX 2, RBX 3, RSP 4, RBP 5, RSI 6, RDI 7, R8 to R15); bases of
 * memory operands may be any but RSP and R12.
 */
public final class Assembler {
  public static final int RAX = 0;
  public static final int RCX = 1;
  public static final int RDX = 2;
  public static final int RBX = 3;
  public static final int RSP = 4;
  public static final int RBP = 5;
  public static final int RSI = 6;
  public static final int RDI = 7;
  public static final int R8 = 8;
  public static final int R9 = 9;
  public static final int R10 = 10;
  public static final int R11 = 11;
  public static final int R13 = 13;
  public static final int R14 = 14;
  public static final int R15 = 15;

  /** Condition codes. */
  public static final int BELOW = 2;

  public static final int NOT_BELOW = 3;
  public static final int EQUAL = 4;
  public static final int NOT_EQUAL = 5;

  /** A place in the code. */
  public static final class Label {
    private int place = -1;
    private final List<Integer> uses = new ArrayList<>();
  }

  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final List<Label> labels = new ArrayList<>();

  /** Appends bytes. */
  public Assembler bytes(int... values) {
    for (int value : values) {
      out.write(value);
    }
    return this;
  }

  private Assembler immediate(long value, int bytes) {
    for (int i = 0; i < bytes; i++) {
      out.write((int) (value >>> 8 * i));
    }
    return this;
  }

  private Assembler rex(int register, int base) {
    return bytes(0x48 | (register >> 3) << 2 | base >> 3);
  }

  private Assembler memory(int register, int base, int displacement) {
    return bytes(0x80 | (register & 7) << 3 | base & 7).immediate(displacement, 4);
  }

  private Assembler registers(int register, int rm) {
    return bytes(0xc0 | (register & 7) << 3 | rm & 7);
  }

  /** Offset of the next instruction. */
  public int offset() {
    return out.size();
  }

  public Assembler set(int register, long value) {
    return rex(0, register).bytes(0xb8 | register & 7).immediate(value, 8);
  }

  public Assembler copy(int to, int from) {
    return rex(from, to).bytes(0x89).registers(from, to);
  }

  public Assembler load(int register, int base, int displacement) {
    return rex(register, base).bytes(0x8b).memory(register, base, displacement);
  }

  /** Loads a byte, zero-extended. */
  public Assembler loadByte(int register, int base, int displacement) {
    return rex(register, base).bytes(0x0f, 0xb6).memory(register, base, displacement);
  }

  public Assembler store(int base, int displacement, int register) {
    return rex(register, base).bytes(0x89).memory(register, base, displacement);
  }

  public Assembler add(int to, int from) {
    return rex(from, to).bytes(0x01).registers(from, to);
  }

  public Assembler addConstant(int register, int value) {
    return rex(0, register).bytes(0x81).registers(0, register).immediate(value, 4);
  }

  public Assembler and(int register, int value) {
    return rex(0, register).bytes(0x81).registers(4, register).immediate(value, 4);
  }

  public Assembler xor(int to, int from) {
    return rex(from, to).bytes(0x31).registers(from, to);
  }

  public Assembler subtract(int to, int from) {
    return rex(from, to).bytes(0x29).registers(from, to);
  }

  public Assembler multiply(int to, int from) {
    return rex(to, from).bytes(0x0f, 0xaf).registers(to, from);
  }

  /** RDX:RAX divided by a register. */
  public Assembler divide(int register) {
    return rex(0, register).bytes(0xf7).registers(6, register);
  }

  public Assembler shiftLeft(int register, int count) {
    return rex(0, register).bytes(0xc1).registers(4, register).bytes(count);
  }

  public Assembler compare(int left, int right) {
    return rex(right, left).bytes(0x39).registers(right, left);
  }

  public Assembler compareConstant(int register, int value) {
    return rex(0, register).bytes(0x81).registers(7, register).immediate(value, 4);
  }

  public Assembler label(Label label) {
    label.place = offset();
    return this;
  }

  private Assembler relative(Label label) {
    if (!labels.contains(label)) {
      labels.add(label);
    }
    label.uses.add(offset());
    return immediate(0, 4);
  }

  public Assembler jump(Label label) {
    return bytes(0xe9).relative(label);
  }

  public Assembler jumpIf(int condition, Label label) {
    return bytes(0x0f, 0x80 | condition).relative(label);
  }

  public Assembler call(Label label) {
    return bytes(0xe8).relative(label);
  }

  public Assembler transaction(Label fallback) {
    return bytes(0xc7, 0xf8).relative(fallback);
  }

  public Assembler jumpTo(int register) {
    return rex(0, register).bytes(0xff).registers(4, register);
  }

  public Assembler callTo(int register) {
    return rex(0, register).bytes(0xff).registers(2, register);
  }

  public Assembler giveBack() {
    return bytes(0xc3);
  }

  public Assembler push(int register) {
    return bytes(0x40 | register >> 3, 0x50 | register & 7);
  }

  public Assembler pop(int register) {
    return bytes(0x40 | register >> 3, 0x58 | register & 7);
  }

  public Assembler flushLine(int base, int displacement) {
    return rex(0, base).bytes(0x0f, 0xae).memory(7, base, displacement);
  }

  public Assembler loadFence() {
    return bytes(0x0f, 0xae, 0xe8);
  }

  public Assembler memoryFence() {
    return bytes(0x0f, 0xae, 0xf0);
  }

  /** RAX = time-stamp counter; RDX changes. */
  public Assembler timeStamp() {
    return bytes(0x0f, 0x31).shiftLeft(RDX, 32).bytes(0x48, 0x09, 0xd0);
  }

  public Assembler halt() {
    return bytes(0xf4);
  }

  public Assembler breakpoint() {
    return bytes(0xcc);
  }

  public Assembler nops(int count) {
    for (int i = 0; i < count; i++) {
      bytes(0x90);
    }
    return this;
  }

  /** The code, with its labels resolved. */
  public byte[] code() {
    byte[] code = out.toByteArray();
    for (Label label : labels) {
      for (int use : label.uses) {
        int distance = label.place - (use + 4);
        for (int i = 0; i < 4; i++) {
          code[use + i] = (byte) (distance >> 8 * i);
        }
      }
    }
    return code;
  }
}
