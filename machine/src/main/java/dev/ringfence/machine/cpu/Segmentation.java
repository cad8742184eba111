package dev.ringfence.machine.cpu;

/**
 * Loading segment registers (SDM volume 3, chapters 3 and 5; SDM volume 2, MOV and LDS).
 *
 * <p>Checks are apart from the change of registers: an instruction that loads several segments
 * checks them all before it changes one.
 */
public final class Segmentation {
  /** What the check of a data segment returns for a null selector. */
  public static final long NULL_DESCRIPTOR = 0;

  private static final int REAL_MODE_ACCESS = 0x93;
  private static final int VIRTUAL_8086_ACCESS = 0xf3;

  private Segmentation() {}

  /** Whether the selector is one of the four null selectors. */
  public static boolean isNull(int selector) {
    return (selector & 0xfffc) == 0;
  }

  /** Error code that names a selector, without the EXT bit. */
  public static int errorCode(int selector) {
    return selector & 0xfffc;
  }

  /** A linear address of a system structure: 64 bits in IA-32e mode, else 32. */
  public static long systemAddress(ProcessorState state, long linear) {
    return state.longMode() ? linear : linear & 0xffffffffL;
  }

  /**
   * Linear address of the descriptor that a selector names.
   *
   * @param bytes 8, or 16 for system descriptors in IA-32e mode
   * @throws ProcessorException of {@code vector} with {@code errorCode} if it lies outside its
   *     table
   */
  public static long descriptorAddress(
      ProcessorState state, int selector, int bytes, int vector, int errorCode) {
    boolean local = (selector & 4) != 0;
    long last = (selector & 0xfff8) + bytes - 1;
    if (local) {
      boolean usable = (state.access[SegmentRegister.LDTR] & SegmentRegister.UNUSABLE) == 0;
      if (!usable || last > state.limit[SegmentRegister.LDTR]) {
        throw ProcessorException.of(vector, errorCode);
      }
      return systemAddress(state, state.ldtrBase + (selector & 0xfff8));
    }
    if (last > state.gdtrLimit) {
      throw ProcessorException.of(vector, errorCode);
    }
    return systemAddress(state, state.gdtrBase + (selector & 0xfff8));
  }

  /** The first eight bytes of the descriptor; #GP(selector) if it lies outside its table. */
  public static long descriptor(Processor processor, int selector) {
    return descriptor(
        processor, selector, ProcessorException.GENERAL_PROTECTION, errorCode(selector));
  }

  /** The first eight bytes of the descriptor, or the exception given. */
  public static long descriptor(Processor processor, int selector, int vector, int errorCode) {
    long address = descriptorAddress(processor.state(), selector, 8, vector, errorCode);
    return processor.memory().loadSystem(address, 8);
  }

  /**
   * Sets the accessed bit of a code or data descriptor in its table, if it is clear; this may
   * fault.
   */
  public static void markAccessed(Processor processor, int selector, long descriptor) {
    if (!isNull(selector) && (descriptor >>> 40 & 1) == 0) {
      long address =
          descriptorAddress(
              processor.state(),
              selector,
              8,
              ProcessorException.GENERAL_PROTECTION,
              errorCode(selector));
      processor.memory().storeSystem(address + 5, 1, descriptor >>> 40 & 0xff | 1);
    }
  }

  /**
   * Loads ES, SS, DS, FS or GS as MOV, POP and LDS do, in every mode.
   *
   * @throws ProcessorException with nothing changed, if the checks fail
   */
  public static void load(Processor processor, int segment, int selector) {
    ProcessorState state = processor.state();
    if (!state.protectedMode() || state.virtual8086()) {
      loadReal(state, segment, selector);
      return;
    }
    long descriptor =
        segment == SegmentRegister.SS
            ? checkStack(processor, selector, state.cpl)
            : checkData(processor, selector);
    markAccessed(processor, selector, descriptor);
    commit(state, segment, selector, descriptor);
  }

  /** The checks for DS, ES, FS and GS; returns the descriptor. */
  private static long checkData(Processor processor, int selector) {
    if (isNull(selector)) {
      return NULL_DESCRIPTOR;
    }
    long descriptor = descriptor(processor, selector);
    int dpl = Descriptor.dpl(descriptor);
    int cpl = processor.state().cpl;
    if (!Descriptor.readable(descriptor)
        || !Descriptor.conforming(descriptor) && ((selector & 3) > dpl || cpl > dpl)) {
      throw ProcessorException.generalProtection(errorCode(selector));
    }
    if (!Descriptor.present(descriptor)) {
      throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, errorCode(selector));
    }
    return descriptor;
  }

  /** The checks for SS; returns the descriptor. */
  private static long checkStack(Processor processor, int selector, int cpl) {
    if (isNull(selector)) {
      if (processor.state().code64() && cpl < 3 && (selector & 3) == cpl) {
        return NULL_DESCRIPTOR;
      }
      throw ProcessorException.generalProtection();
    }
    return checkStack(
        processor, selector, cpl, ProcessorException.GENERAL_PROTECTION, errorCode(selector));
  }

  /**
   * The checks of a stack segment for privilege level {@code cpl}; returns the descriptor. {@code
   * vector} is raised for all but an absent segment, which is #SS; stack switches raise #TS.
   */
  static long checkStack(Processor processor, int selector, int cpl, int vector, int errorCode) {
    long descriptor = descriptor(processor, selector, vector, errorCode);
    if ((selector & 3) != cpl
        || !Descriptor.writableData(descriptor)
        || Descriptor.dpl(descriptor) != cpl) {
      throw ProcessorException.of(vector, errorCode);
    }
    if (!Descriptor.present(descriptor)) {
      throw ProcessorException.of(ProcessorException.STACK_FAULT, errorCode);
    }
    return descriptor;
  }

  /** Loads a register in real-address or virtual-8086 mode. */
  public static void loadReal(ProcessorState state, int segment, int selector) {
    state.selector[segment] = selector & 0xffff;
    state.setSegmentBase(segment, (selector & 0xffffL) << 4);
    if (state.virtual8086()) {
      state.limit[segment] = 0xffff;
      state.access[segment] = VIRTUAL_8086_ACCESS;
    } else if ((state.access[segment] & SegmentRegister.UNUSABLE) != 0) {
      // Otherwise limit and attributes stay, which is what "unreal mode" relies on.
      state.limit[segment] = 0xffff;
      state.access[segment] = REAL_MODE_ACCESS;
    }
  }

  /** Loads a register from a descriptor that was checked. */
  public static void commit(ProcessorState state, int segment, int selector, long descriptor) {
    if (isNull(selector)) {
      setNull(state, segment, selector);
      return;
    }
    state.selector[segment] = selector & 0xffff;
    state.setSegmentBase(segment, Descriptor.base(descriptor));
    state.limit[segment] = Descriptor.limit(descriptor);
    state.access[segment] = Descriptor.access(descriptor) | 1;
  }

  /**
   * Loads a null selector: the register is unusable, its base zero (as on all Intel processors).
   */
  public static void setNull(ProcessorState state, int segment, int selector) {
    state.selector[segment] = selector & 0xffff;
    state.setSegmentBase(segment, 0);
    state.limit[segment] = 0;
    state.access[segment] = SegmentRegister.UNUSABLE | (selector & 3) << SegmentRegister.DPL_SHIFT;
  }

  /** Loads CS and enters privilege level {@code cpl}, from a descriptor that was checked. */
  public static void commitCode(ProcessorState state, int selector, long descriptor, int cpl) {
    commit(state, SegmentRegister.CS, selector & 0xfffc | cpl, descriptor);
    state.cpl = cpl;
  }

  /**
   * Nulls the data segments that code of an outer privilege level may not keep (SDM volume 2, IRET
   * and RET, RETURN-TO-OUTER-PRIVILEGE-LEVEL). CPL is the new one already.
   */
  static void dropPrivilegedSegments(ProcessorState state) {
    for (int segment : DATA_SEGMENTS) {
      int access = state.access[segment];
      boolean conforming = (access & 0x1c) == 0x1c;
      if ((access & SegmentRegister.UNUSABLE) == 0
          && !conforming
          && (access >>> SegmentRegister.DPL_SHIFT & 3) < state.cpl) {
        setNull(state, segment, 0);
      }
    }
  }

  private static final int[] DATA_SEGMENTS = {
    SegmentRegister.ES, SegmentRegister.DS, SegmentRegister.FS, SegmentRegister.GS
  };

  /** Nulls ES, DS, FS and GS, as an interrupt of virtual-8086 mode does. */
  public static void dropDataSegments(ProcessorState state) {
    for (int segment : DATA_SEGMENTS) {
      setNull(state, segment, 0);
    }
  }

  /**
   * Fixed flat segments which SYSCALL, SYSENTER and their returns load without reading descriptors.
   */
  static void setFlat(ProcessorState state, int segment, int selector, int access) {
    state.selector[segment] = selector & 0xffff;
    state.setSegmentBase(segment, 0);
    state.limit[segment] = 0xffffffffL;
    state.access[segment] = access;
  }

  /** LLDT (SDM volume 2). The caller has checked CPL and mode. */
  public static void loadLdt(Processor processor, int selector) {
    ProcessorState state = processor.state();
    if (isNull(selector)) {
      state.selector[SegmentRegister.LDTR] = selector & 0xffff;
      state.access[SegmentRegister.LDTR] = SegmentRegister.UNUSABLE;
      return;
    }
    loadSystemSegment(processor, SegmentRegister.LDTR, selector, 1 << Descriptor.LDT);
  }

  /** LTR (SDM volume 2). The caller has checked CPL and mode. */
  public static void loadTask(Processor processor, int selector) {
    if (isNull(selector)) {
      throw ProcessorException.generalProtection();
    }
    int types =
        processor.state().longMode()
            ? 1 << Descriptor.TSS_AVAILABLE
            : 1 << Descriptor.TSS_AVAILABLE | 1 << Descriptor.TSS16_AVAILABLE;
    loadSystemSegment(processor, SegmentRegister.TR, selector, types);
  }

  private static void loadSystemSegment(Processor processor, int segment, int selector, int types) {
    ProcessorState state = processor.state();
    int errorCode = errorCode(selector);
    int bytes = state.longMode() ? 16 : 8;
    if ((selector & 4) != 0) {
      throw ProcessorException.generalProtection(errorCode);
    }
    long address =
        descriptorAddress(state, selector, bytes, ProcessorException.GENERAL_PROTECTION, errorCode);
    long descriptor = processor.memory().loadSystem(address, 8);
    if (Descriptor.codeOrData(descriptor) || (types >>> Descriptor.type(descriptor) & 1) == 0) {
      throw ProcessorException.generalProtection(errorCode);
    }
    long base = Descriptor.base(descriptor);
    if (bytes == 16) {
      long upper = processor.memory().loadSystem(address + 8, 8);
      base |= upper << 32;
      // The type field of the upper half must be zero, lest it be taken for a descriptor itself.
      if ((upper >>> 40 & 0x1f) != 0 || !ProcessorState.canonical(base)) {
        throw ProcessorException.generalProtection(errorCode);
      }
    }
    if (!Descriptor.present(descriptor)) {
      throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, errorCode);
    }
    int access = Descriptor.access(descriptor);
    if (segment == SegmentRegister.TR) {
      access |= 2; // busy
      processor.memory().storeSystem(address + 5, 1, access & 0xff);
    }
    state.selector[segment] = selector & 0xffff;
    state.setSegmentBase(segment, base);
    state.limit[segment] = Descriptor.limit(descriptor);
    state.access[segment] = access;
  }

  /**
   * Whether code at the current privilege level may read or write through the segment that the
   * selector names: VERR, VERW.
   */
  public static boolean verify(Processor processor, int selector, boolean write) {
    long descriptor = visibleDescriptor(processor, selector);
    if (descriptor == NULL_DESCRIPTOR || !Descriptor.codeOrData(descriptor)) {
      return false;
    }
    boolean allowed = write ? Descriptor.writableData(descriptor) : Descriptor.readable(descriptor);
    return allowed && visible(processor.state(), selector, descriptor);
  }

  /** Access rights for LAR, bits 23:8 of the descriptor's second doubleword, or -1. */
  public static long accessRights(Processor processor, int selector) {
    long descriptor = visibleDescriptor(processor, selector);
    if (descriptor == NULL_DESCRIPTOR
        || !Descriptor.codeOrData(descriptor)
            && (larTypes(processor.state()) >>> Descriptor.type(descriptor) & 1) == 0
        || !visible(processor.state(), selector, descriptor)) {
      return -1;
    }
    // Bits 19:16 of the doubleword (limit 19:16) are undefined in the result; processors return
    // them.
    return descriptor >>> 32 & 0xffff00;
  }

  /** Limit for LSL, or -1. */
  public static long segmentLimit(Processor processor, int selector) {
    long descriptor = visibleDescriptor(processor, selector);
    if (descriptor == NULL_DESCRIPTOR
        || !Descriptor.codeOrData(descriptor)
            && (lslTypes(processor.state()) >>> Descriptor.type(descriptor) & 1) == 0
        || !visible(processor.state(), selector, descriptor)) {
      return -1;
    }
    return Descriptor.limit(descriptor);
  }

  /** System types that LSL accepts (SDM volume 2, table 3-66). */
  private static int lslTypes(ProcessorState state) {
    int types = 1 << Descriptor.LDT | 1 << Descriptor.TSS_AVAILABLE | 1 << Descriptor.TSS_BUSY;
    return state.longMode()
        ? types
        : types | 1 << Descriptor.TSS16_AVAILABLE | 1 << Descriptor.TSS16_BUSY;
  }

  /** System types that LAR accepts (SDM volume 2, table 3-53). */
  private static int larTypes(ProcessorState state) {
    int types = lslTypes(state) | 1 << Descriptor.CALL_GATE;
    return state.longMode()
        ? types
        : types | 1 << Descriptor.CALL_GATE16 | 1 << Descriptor.TASK_GATE;
  }

  private static boolean visible(ProcessorState state, int selector, long descriptor) {
    int dpl = Descriptor.dpl(descriptor);
    return Descriptor.conforming(descriptor) || (selector & 3) <= dpl && state.cpl <= dpl;
  }

  /** The descriptor, or null where there is none: these instructions report rather than fault. */
  private static long visibleDescriptor(Processor processor, int selector) {
    ProcessorState state = processor.state();
    if (isNull(selector)) {
      return NULL_DESCRIPTOR;
    }
    long last = (selector & 0xfff8) + 7;
    boolean local = (selector & 4) != 0;
    if (local
        ? (state.access[SegmentRegister.LDTR] & SegmentRegister.UNUSABLE) != 0
            || last > state.limit[SegmentRegister.LDTR]
        : last > state.gdtrLimit) {
      return NULL_DESCRIPTOR;
    }
    return descriptor(processor, selector);
  }
}
