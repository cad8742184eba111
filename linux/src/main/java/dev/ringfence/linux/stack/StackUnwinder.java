package dev.ringfence.linux.stack;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.machine.BadInputException;
import java.util.List;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Finds which functions called the one that runs, from the registers and the stack of a stopped
 * kernel, in the way the kernel itself does (Linux, arch/x86/kernel/unwind_orc.c). Three means, in
 * this order, for each frame:
 *
 * <ol>
 *   <li>ORC tables, of the kernel and of modules;
 *   <li>frame pointers, for code without ORC that has a plausible one: BPF programs, trampolines,
 *       kernels with CONFIG_UNWINDER_FRAME_POINTER;
 *   <li>a guess: the next word of the stack that points behind a call instruction in kernel code.
 *       {@link #guessed} tells that it was needed; a stale word may have been taken.
 * </ol>
 *
 * The walk goes on from an interrupt or exception into the context that it interrupted, and ends at
 * user mode, at the first function of a kernel thread, or where nothing is plausible.
 *
 * <p>Return addresses that the kernel's tracing replaced (kretprobes, function graph) are not
 * translated back: a walk through such a frame goes on at the tracer's code.
 *
 * <p>It allocates nothing. An instance is for one thread.
 */
public final class StackUnwinder {
  // Offsets in struct pt_regs (arch/x86/include/uapi/asm/ptrace.h), part of the kernel's ABI.
  private static final int REGS_R13 = 16;
  private static final int REGS_BP = 32;
  private static final int REGS_R10 = 56;
  private static final int REGS_AX = 80;
  private static final int REGS_DX = 96;
  private static final int REGS_DI = 112;
  private static final int REGS_IP = 128;

  // Offsets in the frame that the processor pushes (SDM volume 3, 6.14.2).
  private static final int FRAME_CS = 8;
  private static final int FRAME_SP = 24;

  // What a step found.
  private static final int FOUND = 0;
  private static final int STOP = 1;
  private static final int LOST = 2;

  private static final int WORD = Long.BYTES;

  /** Largest kernel stack: 16 KiB, doubled by KASAN. They are aligned to their size. */
  private static final long STACK = 32 << 10;

  private static final long GUESS_STACK = 16 << 10;

  /** Where modules may be: behind the smallest kernel image area, before the fixmap. */
  private static final long MODULES_START = 0xffffffffa0000000L;

  private static final long MODULES_END = 0xffffffffff000000L;

  private final @Nullable OrcTable orc;
  private final long textStart;
  private final long textEnd;
  private final long initTextStart;
  private final long initTextEnd;
  private final long imageStart;
  private final long imageEnd;
  private OrcTable[] modules = {};

  // The frame that the walk is at.
  private long ip;
  private long sp;
  private long bp;

  /** Address of all registers of the interrupted context, 0 if they are not known. */
  private long registers;

  /** Whether ip is that of an instruction not yet executed, not one behind a call. */
  private boolean exact;

  private boolean guessed;

  /**
   * An unwinder for a running kernel.
   *
   * @param orc the kernel's table at the addresses where it runs, null if it has none
   * @param symbols of the kernel at the addresses where it runs
   * @throws BadInputException if {@code _stext} or {@code _etext} is missing
   */
  public StackUnwinder(@Nullable OrcTable orc, SymbolTable symbols) {
    this.orc = orc;
    textStart = symbols.require("_stext");
    textEnd = symbols.require("_etext");
    OptionalLong initStart = symbols.address("_sinittext");
    OptionalLong initEnd = symbols.address("_einittext");
    initTextStart = initStart.orElse(0);
    initTextEnd = initStart.isPresent() ? initEnd.orElse(0) : 0;
    imageStart = symbols.start();
    imageEnd = symbols.end();
  }

  /** Sets the tables of the modules that are loaded now, in any order. */
  public void setModules(List<OrcTable> tables) {
    modules = tables.toArray(new OrcTable[0]);
  }

  /** Whether the last walk had to guess at least one frame. */
  public boolean guessed() {
    return guessed;
  }

  /** Whether an address is in code of the kernel or in the area of modules. */
  public boolean isText(long address) {
    if (address >= textStart && address < textEnd
        || address >= initTextStart && address < initTextEnd) {
      return true;
    }
    return address >= MODULES_START
        && address < MODULES_END
        && (address < imageStart || address >= imageEnd);
  }

  /**
   * Walks a stack.
   *
   * @param memory of the kernel, in the address space that is active
   * @param rip linear address of the instruction about to be executed
   * @param rsp stack pointer before it
   * @param rbp frame pointer before it
   * @param frames receives {@code rip}, then return addresses, most recent first; an interrupted
   *     context contributes the address of its next instruction
   * @return number of frames, at most the length of the array; 0 if {@code rip} is not kernel code
   */
  public int unwind(KernelMemory memory, long rip, long rsp, long rbp, long[] frames) {
    ip = rip;
    sp = rsp;
    bp = rbp;
    registers = 0;
    exact = true;
    guessed = false;
    if (frames.length == 0 || !isText(rip) && rip != 0) {
      return 0;
    }
    frames[0] = rip;
    int count = 1;
    while (count < frames.length) {
      long before = sp;
      int step = step(memory);
      if (step == STOP) {
        break;
      }
      if (step == LOST) {
        sp = before;
        if (!guess(memory)) {
          break;
        }
        guessed = true;
      }
      frames[count++] = ip;
    }
    return count;
  }

  private int step(KernelMemory memory) {
    if (ip == 0) {
      // A call of a null pointer: only its return address was pushed.
      return call(memory, sp + WORD);
    }
    long address = exact ? ip : ip - 1;
    OrcTable table = table(address);
    int entry = table == null ? -1 : table.find(address);
    if (table == null || entry < 0) {
      return framePointer(memory);
    }
    return switch (table.kind(entry)) {
      case OrcLayout.END -> STOP;
      case OrcLayout.CALL, OrcLayout.REGS, OrcLayout.REGS_PARTIAL -> orcFrame(memory, table, entry);
      default -> LOST;
    };
  }

  private @Nullable OrcTable table(long address) {
    if (address >= imageStart && address < imageEnd) {
      return orc;
    }
    for (OrcTable module : modules) {
      if (module.find(address) >= 0) {
        return module;
      }
    }
    return null;
  }

  private int orcFrame(KernelMemory memory, OrcTable table, int entry) {
    int offset = table.spOffset(entry);
    long frame;
    switch (table.spRegister(entry)) {
      case OrcLayout.SP -> frame = sp + offset;
      case OrcLayout.BP -> frame = bp + offset;
      case OrcLayout.SP_INDIRECT -> frame = memory.readLong(sp) + offset;
      case OrcLayout.BP_INDIRECT -> frame = memory.readLong(bp + offset);
      case OrcLayout.R10 -> frame = interrupted(memory, REGS_R10);
      case OrcLayout.R13 -> frame = interrupted(memory, REGS_R13);
      case OrcLayout.DI -> frame = interrupted(memory, REGS_DI);
      case OrcLayout.AX -> frame = interrupted(memory, REGS_AX);
      case OrcLayout.DX -> frame = interrupted(memory, REGS_DX);
      default -> frame = 0;
    }
    long oldBp = bp;
    int found =
        switch (table.kind(entry)) {
          case OrcLayout.CALL -> call(memory, frame);
          case OrcLayout.REGS -> interrupt(memory, frame + REGS_IP, frame);
          default -> interrupt(memory, frame, 0);
        };
    if (found != FOUND) {
      return found;
    }
    switch (table.bpRegister(entry)) {
      case OrcLayout.PREV_SP -> bp = memory.readLong(frame + table.bpOffset(entry));
      case OrcLayout.BP -> bp = memory.readLong(oldBp + table.bpOffset(entry));
      default -> {
        if (registers != 0) {
          bp = memory.readLong(registers + REGS_BP);
        }
      }
    }
    return FOUND;
  }

  private long interrupted(KernelMemory memory, int register) {
    return registers == 0 ? 0 : memory.readLong(registers + register);
  }

  /** The caller's frame begins at an address; the return address is the word before it. */
  private int call(KernelMemory memory, long frame) {
    long caller = memory.readLong(frame - WORD);
    // Unmapped memory reads as zero, which is no code either.
    if (!isText(caller)) {
      return LOST;
    }
    ip = caller;
    sp = frame;
    registers = 0;
    exact = false;
    return FOUND;
  }

  /**
   * Goes on in an interrupted context.
   *
   * @param frame that the processor pushed
   * @param all address of struct pt_regs, 0 if only the frame is there
   */
  private int interrupt(KernelMemory memory, long frame, long all) {
    if (!memory.isMapped(frame) || !memory.isMapped(frame + FRAME_SP)) {
      return LOST;
    }
    if ((memory.readLong(frame + FRAME_CS) & 3) != 0) {
      return STOP;
    }
    long address = memory.readLong(frame);
    if (!isText(address) && address != 0) {
      return LOST;
    }
    ip = address;
    sp = memory.readLong(frame + FRAME_SP);
    registers = all;
    exact = true;
    return FOUND;
  }

  private int framePointer(KernelMemory memory) {
    long frame = bp;
    if ((frame & WORD - 1) != 0
        || frame < sp
        || frame - sp >= STACK
        || !memory.isMapped(frame + WORD)
        || !isText(memory.readLong(frame + WORD))) {
      return LOST;
    }
    bp = memory.readLong(frame);
    return call(memory, frame + 2 * WORD);
  }

  /** Looks for the next return address in what is left of the stack. */
  private boolean guess(KernelMemory memory) {
    long end = (sp | GUESS_STACK - 1) + 1;
    for (long at = sp + WORD - 1 & -WORD; at < end; at += WORD) {
      long word = memory.readLong(at);
      if (isText(word) && followsCall(memory, word)) {
        ip = word;
        sp = at + WORD;
        registers = 0;
        exact = false;
        return true;
      }
    }
    return false;
  }

  /** Whether a call instruction ends before an address: E8 with 4 bytes, or FF /2 with 0 to 5. */
  private static boolean followsCall(KernelMemory memory, long address) {
    if (memory.readByte(address - 5) == (byte) 0xe8) {
      return true;
    }
    for (int length = 2; length <= 7; length++) {
      if (memory.readByte(address - length) == (byte) 0xff
          && (memory.readByte(address - length + 1) & 0x38) == 0x10) {
        return true;
      }
    }
    return false;
  }
}
