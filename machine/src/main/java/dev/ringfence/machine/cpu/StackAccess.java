package dev.ringfence.machine.cpu;

/**
 * Pushes and pops of instructions and event deliveries that move several items. The pointer is a
 * copy: RSP changes at {@link #commit} only, when nothing can fault any more.
 */
public final class StackAccess {
  private final Processor processor;
  private final int width;
  private final long base;
  private final long limit;
  private final int access;
  private final boolean supervisor;
  private final int faultCode;
  private long pointer;

  private StackAccess(
      Processor processor,
      int width,
      long base,
      long limit,
      int access,
      boolean supervisor,
      int faultCode,
      long pointer) {
    this.processor = processor;
    this.width = width;
    this.base = base;
    this.limit = limit;
    this.access = access;
    this.supervisor = supervisor;
    this.faultCode = faultCode;
    this.pointer = pointer & mask(width);
  }

  /** The current stack at the current privilege level. */
  public static StackAccess current(Processor processor) {
    return current(processor, 0);
  }

  /** The current stack; {@code faultCode} is the error code of #SS. */
  public static StackAccess current(Processor processor, int faultCode) {
    ProcessorState state = processor.state();
    return new StackAccess(
        processor,
        state.stackWidth(),
        state.segmentBase(SegmentRegister.SS),
        state.limit[SegmentRegister.SS],
        state.access[SegmentRegister.SS],
        false,
        faultCode,
        state.r[Slot.RSP]);
  }

  /** A stack for 64-bit code that is entered, at privilege level {@code cpl}. */
  public static StackAccess flat(Processor processor, int cpl, int faultCode, long pointer) {
    return new StackAccess(processor, 64, 0, 0, 0, cpl < 3, faultCode, pointer);
  }

  /** The stack in a segment that is about to be loaded, at privilege level {@code cpl}. */
  public static StackAccess in(
      Processor processor, long descriptor, int cpl, int faultCode, long pointer) {
    int access = Descriptor.access(descriptor);
    return new StackAccess(
        processor,
        (access & SegmentRegister.DEFAULT_BIG) != 0 ? 32 : 16,
        Descriptor.base(descriptor),
        Descriptor.limit(descriptor),
        access,
        cpl < 3,
        faultCode,
        pointer);
  }

  private static long mask(int width) {
    return -1L >>> 64 - width;
  }

  /** Pushes the low {@code bytes} bytes of a value. */
  public void push(int bytes, long value) {
    long next = pointer - bytes & mask(width);
    long linear = linear(next, bytes);
    if (supervisor) {
      processor.memory().storeSystem(linear, bytes, value);
    } else {
      switch (bytes) {
        case 2 -> processor.memory().store16(linear, value);
        case 4 -> processor.memory().store32(linear, value);
        default -> processor.memory().store64(linear, value);
      }
    }
    pointer = next;
  }

  /** Pops {@code bytes} bytes, zero-extended. */
  public long pop(int bytes) {
    long value = peek(0, bytes);
    skip(bytes);
    return value;
  }

  /** Reads {@code bytes} bytes at a distance from the top of the stack. */
  public long peek(int distance, int bytes) {
    long linear = linear(pointer + distance & mask(width), bytes);
    return switch (bytes) {
      case 2 -> processor.memory().load16(linear);
      case 4 -> processor.memory().load32(linear);
      default -> processor.memory().load64(linear);
    };
  }

  /** Drops bytes from the top of the stack. */
  public void skip(int bytes) {
    pointer = pointer + bytes & mask(width);
  }

  /** The stack pointer, cut to the width of the stack. */
  public long pointer() {
    return pointer;
  }

  /** Writes the pointer to RSP, ESP or SP. */
  public void commit() {
    setPointer(processor.state(), width, pointer);
  }

  /** Writes a stack pointer of 16, 32 or 64 bits to RSP; a 16-bit one leaves the bits above it. */
  public static void setPointer(ProcessorState state, int width, long value) {
    state.r[Slot.RSP] =
        width == 16 ? state.r[Slot.RSP] & ~0xffffL | value & 0xffff : value & mask(width);
  }

  private long linear(long offset, int bytes) {
    if (width == 64) {
      if (ProcessorState.canonical(offset) && ProcessorState.canonical(offset + bytes - 1)) {
        return offset;
      }
    } else if ((access & SegmentRegister.UNUSABLE) == 0
        && SegmentAccess.within(access, limit, offset, bytes)) {
      return base + offset & 0xffffffffL;
    }
    throw ProcessorException.of(ProcessorException.STACK_FAULT, faultCode);
  }
}
