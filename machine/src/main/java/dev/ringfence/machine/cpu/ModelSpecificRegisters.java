package dev.ringfence.machine.cpu;

import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.virtualization.Controls;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Model-specific registers (SDM volume 4, chapter 2): a table of number, name, the models that have
 * the register, and what reading and writing do. What is not in the table does not exist and raises
 * #GP(0).
 */
public final class ModelSpecificRegisters {
  @FunctionalInterface
  interface Reader {
    long read(Processor processor);
  }

  @FunctionalInterface
  interface Writer {
    void write(Processor processor, long value);
  }

  private record Register(
      int number, String name, Predicate<CpuModel> exists, Reader reader, Writer writer) {}

  private static final int X2APIC_FIRST = 0x800;
  private static final int X2APIC_LAST = 0x8ff;
  private static final int VARIABLE_RANGES = 10;

  /** Reading is #GP. */
  static final Reader NOT_READABLE =
      processor -> {
        throw ProcessorException.generalProtection();
      };

  /** Writing is #GP. */
  static final Writer NOT_WRITABLE =
      (processor, value) -> {
        throw ProcessorException.generalProtection();
      };

  private static final Map<Integer, Register> REGISTERS = new HashMap<>();
  private static final List<String> STORED_NAMES = new ArrayList<>();
  private static final SpeculationRegisters SPECULATION = new SpeculationRegisters();
  private static final int PAT = store("IA32_PAT");
  private static final int FEATURE_CONTROL = store("IA32_FEATURE_CONTROL");

  /** Bits of IA32_FEATURE_CONTROL: lock, and VMXON outside SMX operation. */
  private static final long LOCKED = 1;

  private static final long VMX_ENABLED = 1 << 2;

  static {
    identification();
    timeAndApic();
    memoryTypes();
    systemCalls();
    SPECULATION.define();
    virtualization();
    amd();
    machineCheckAndDebug();
  }

  /** Number of registers whose values are in {@link ProcessorState#modelSpecific}. */
  static final int STORED = STORED_NAMES.size();

  private ModelSpecificRegisters() {}

  private static void identification() {
    readOnly(0x17, "IA32_PLATFORM_ID", ModelSpecificRegisters::isIntel);
    // Writing starts or follows a microcode update; the revision stays what the model says.
    int revision = store("IA32_BIOS_SIGN_ID");
    add(0x8b, "IA32_BIOS_SIGN_ID", "", stored(revision), (p, value) -> {});
    add(
        0x79,
        "IA32_BIOS_UPDT_TRIG",
        ModelSpecificRegisters::isIntel,
        NOT_READABLE,
        (p, value) -> {});
    readOnly(0xce, "MSR_PLATFORM_INFO", ModelSpecificRegisters::isIntel);
    readOnly(0x34, "MSR_SMI_COUNT", ModelSpecificRegisters::isIntel);
    // Bit 0: fast strings. All others report what the processor has and do not change.
    plain(0x1a0, "IA32_MISC_ENABLE", ModelSpecificRegisters::isIntel, 1);
    add(0xc0000080, "IA32_EFER", "", p -> p.state().efer, ControlRegisters::writeEfer);
  }

  private static boolean isIntel(CpuModel model) {
    return !model.isAmd();
  }

  private static boolean onAll(CpuModel model) {
    return true;
  }

  private static void timeAndApic() {
    add(
        0x10,
        "IA32_TIME_STAMP_COUNTER",
        "TSC",
        Processor::timeStamp,
        (p, value) -> {
          long change = value - p.timeStamp();
          p.state().tscOffset += change;
          p.state().tscAdjust += change;
          p.apic().timeStampCounterChanged();
        });
    add(
        0x3b,
        "IA32_TSC_ADJUST",
        "TSC_ADJUST",
        p -> p.state().tscAdjust,
        (p, value) -> {
          p.state().tscOffset += value - p.state().tscAdjust;
          p.state().tscAdjust = value;
          p.apic().timeStampCounterChanged();
        });
    add(
        0x6e0,
        "IA32_TSC_DEADLINE",
        "TSC-Deadline",
        p -> p.apic().tscDeadline(),
        (p, value) -> p.apic().setTscDeadline(value));
    add(
        0xc0000103,
        "IA32_TSC_AUX",
        "RDTSCP",
        p -> p.state().tscAux,
        (p, value) -> {
          require(value >>> 32 == 0);
          p.state().tscAux = value;
        });
    add(
        0x1b,
        "IA32_APIC_BASE",
        "APIC",
        p -> p.apic().base(),
        (p, value) -> {
          try {
            p.apic().setBase(value);
          } catch (InterruptSource.InvalidRegisterException e) {
            throw ProcessorException.generalProtection();
          }
        });
  }

  private static void memoryTypes() {
    readOnly(0xfe, "IA32_MTRRCAP", ModelSpecificRegisters::onAll);
    for (int i = 0; i < VARIABLE_RANGES; i++) {
      int base = store("IA32_MTRR_PHYSBASE" + i);
      add(
          0x200 + 2 * i,
          "IA32_MTRR_PHYSBASE" + i,
          "MTRR",
          stored(base),
          (p, value) -> {
            require((value & ~(p.model().physicalAddressMask() & ~0xfffL | 0xff)) == 0);
            require(memoryType(value & 0xff));
            p.state().modelSpecific[base] = value;
          });
      int mask = store("IA32_MTRR_PHYSMASK" + i);
      add(
          0x201 + 2 * i,
          "IA32_MTRR_PHYSMASK" + i,
          "MTRR",
          stored(mask),
          (p, value) -> {
            require((value & ~(p.model().physicalAddressMask() & ~0xfffL | 0x800)) == 0);
            p.state().modelSpecific[mask] = value;
          });
    }
    fixedRange(0x250, "IA32_MTRR_FIX64K_00000");
    fixedRange(0x258, "IA32_MTRR_FIX16K_80000");
    fixedRange(0x259, "IA32_MTRR_FIX16K_A0000");
    for (int i = 0; i < 8; i++) {
      fixedRange(0x268 + i, "IA32_MTRR_FIX4K_%X".formatted(0xc0000 + 0x8000 * i));
    }
    add(
        0x277,
        "IA32_PAT",
        "PAT",
        stored(PAT),
        (p, value) -> {
          for (int i = 0; i < 64; i += 8) {
            long type = value >>> i & 0xff;
            require(memoryType(type) || type == 7);
          }
          p.state().modelSpecific[PAT] = value;
        });
    int defaultType = store("IA32_MTRR_DEF_TYPE");
    add(
        0x2ff,
        "IA32_MTRR_DEF_TYPE",
        "MTRR",
        stored(defaultType),
        (p, value) -> {
          require((value & ~0xcffL) == 0 && memoryType(value & 0xff));
          p.state().modelSpecific[defaultType] = value;
        });
  }

  private static void fixedRange(int number, String name) {
    int index = store(name);
    add(
        number,
        name,
        "MTRR",
        stored(index),
        (p, value) -> {
          for (int i = 0; i < 64; i += 8) {
            require(memoryType(value >>> i & 0xff));
          }
          p.state().modelSpecific[index] = value;
        });
  }

  /** Whether the encoding is UC, WC, WT, WP or WB (SDM volume 3, table 11-8). */
  private static boolean memoryType(long type) {
    return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
  }

  private static void systemCalls() {
    add(
        0x174,
        "IA32_SYSENTER_CS",
        "SEP",
        p -> p.state().sysenterCs,
        (p, value) -> p.state().sysenterCs = value & 0xffffffffL);
    add(
        0x175,
        "IA32_SYSENTER_ESP",
        "SEP",
        p -> p.state().sysenterEsp,
        (p, value) -> p.state().sysenterEsp = canonical(value));
    add(
        0x176,
        "IA32_SYSENTER_EIP",
        "SEP",
        p -> p.state().sysenterEip,
        (p, value) -> p.state().sysenterEip = canonical(value));
    add(
        0xc0000081,
        "IA32_STAR",
        "SYSCALL",
        p -> p.state().star,
        (p, value) -> p.state().star = value);
    add(
        0xc0000082,
        "IA32_LSTAR",
        "SYSCALL",
        p -> p.state().lstar,
        (p, value) -> p.state().lstar = canonical(value));
    add(
        0xc0000083,
        "IA32_CSTAR",
        "SYSCALL",
        p -> p.state().cstar,
        (p, value) -> p.state().cstar = canonical(value));
    add(
        0xc0000084,
        "IA32_FMASK",
        "SYSCALL",
        p -> p.state().fmask,
        (p, value) -> {
          require(value >>> 32 == 0);
          p.state().fmask = value;
        });
    segmentBase(0xc0000100, "IA32_FS_BASE", SegmentRegister.FS);
    segmentBase(0xc0000101, "IA32_GS_BASE", SegmentRegister.GS);
    add(
        0xc0000102,
        "IA32_KERNEL_GS_BASE",
        "Intel-64",
        p -> p.state().kernelGsBase,
        (p, value) -> p.state().kernelGsBase = canonical(value));
  }

  private static void segmentBase(int number, String name, int segment) {
    add(
        number,
        name,
        "Intel-64",
        p -> p.state().segmentBase(segment),
        (p, value) -> p.state().setSegmentBase(segment, canonical(value)));
  }

  private static void virtualization() {
    add(
        0x3a,
        "IA32_FEATURE_CONTROL",
        "VMX",
        stored(FEATURE_CONTROL),
        (p, value) -> {
          require((p.state().modelSpecific[FEATURE_CONTROL] & LOCKED) == 0);
          require((value & ~(LOCKED | VMX_ENABLED)) == 0);
          p.state().modelSpecific[FEATURE_CONTROL] = value;
        });
    for (int i = Controls.FIRST_CAPABILITY; i <= Controls.LAST_CAPABILITY; i++) {
      int register = i;
      add(
          register,
          "IA32_VMX_CAPABILITY_%X".formatted(register),
          "VMX",
          p -> Controls.capability(p.model(), register),
          NOT_WRITABLE);
    }
  }

  /** Whether firmware or kernel have enabled VMXON, and locked that. */
  public static boolean virtualizationEnabled(ProcessorState state) {
    long enabled = LOCKED | VMX_ENABLED;
    return (state.modelSpecific[FEATURE_CONTROL] & enabled) == enabled;
  }

  /** IA32_PAT. */
  public static long pat(ProcessorState state) {
    return state.modelSpecific[PAT];
  }

  /** Sets IA32_PAT to a value that is known to be valid. */
  public static void setPat(ProcessorState state, long value) {
    state.modelSpecific[PAT] = value;
  }

  /** System configuration of AMD processors (PPR of family 17H; APM volume 2, section 3.2). */
  private static void amd() {
    amd(0xc0010010, "SYSCFG");
    amd(0xc0010015, "HWCR");
    amd(0xc001001f, "NB_CFG");
  }

  /** A register whose bits this machine does not act upon. */
  private static void amd(int number, String name) {
    int index = store(name);
    add(
        number,
        name,
        CpuModel::isAmd,
        stored(index),
        (p, value) -> p.state().modelSpecific[index] = value);
  }

  private static void machineCheckAndDebug() {
    // The registers of the Pentium's machine check, which later processors keep.
    add(0, "IA32_P5_MC_ADDR", "MCE", p -> 0, NOT_WRITABLE);
    add(1, "IA32_P5_MC_TYPE", "MCE", p -> 0, NOT_WRITABLE);
    readOnly(0x179, "IA32_MCG_CAP", ModelSpecificRegisters::onAll);
    plain(0x17a, "IA32_MCG_STATUS", ModelSpecificRegisters::onAll, 7);
    // Neither branch records nor branch tracing exist, so no bit can be set.
    plain(0x1d9, "IA32_DEBUGCTL", ModelSpecificRegisters::onAll, 0);
  }

  /** Sets aside a place for the value of a register, to which models can give a reset value. */
  static int store(String name) {
    STORED_NAMES.add(name);
    return STORED_NAMES.size() - 1;
  }

  static Reader stored(int index) {
    return p -> p.state().modelSpecific[index];
  }

  private static void readOnly(int number, String name, Predicate<CpuModel> exists) {
    add(number, name, exists, stored(store(name)), NOT_WRITABLE);
  }

  /** A register of which only the bits of the mask can change. */
  private static void plain(int number, String name, Predicate<CpuModel> exists, long mask) {
    int index = store(name);
    add(
        number,
        name,
        exists,
        stored(index),
        (p, value) -> {
          require(((value ^ p.state().modelSpecific[index]) & ~mask) == 0);
          p.state().modelSpecific[index] = value;
        });
  }

  private static void add(int number, String name, String feature, Reader reader, Writer writer) {
    add(number, name, model -> feature.isEmpty() || model.has(feature), reader, writer);
  }

  /** Puts a register into the table, which exists on some models. */
  static void add(
      int number, String name, Predicate<CpuModel> exists, Reader reader, Writer writer) {
    Register register = new Register(number, name, exists, reader, writer);
    if (REGISTERS.put(number, register) != null) {
      throw new IllegalStateException("two registers have number " + Integer.toHexString(number));
    }
  }

  static void require(boolean condition) {
    if (!condition) {
      throw ProcessorException.generalProtection();
    }
  }

  private static long canonical(long address) {
    require(ProcessorState.canonical(address));
    return address;
  }

  /** The registers that control execution ahead of time. */
  static SpeculationRegisters speculation() {
    return SPECULATION;
  }

  /** Names of the registers to which a CPU model can give a reset value. */
  static Set<String> resettable() {
    return new LinkedHashSet<>(STORED_NAMES);
  }

  private static Register find(Processor processor, int number) {
    Register register = REGISTERS.get(number);
    if (register == null || !register.exists().test(processor.model())) {
      throw ProcessorException.generalProtection();
    }
    return register;
  }

  private static boolean isX2Apic(int number) {
    return number >= X2APIC_FIRST && number <= X2APIC_LAST;
  }

  /** RDMSR, after the check of CPL; #GP(0) if there is no such register. */
  public static long read(Processor processor, int number) {
    if (isX2Apic(number)) {
      try {
        return processor.apic().readX2Apic(number);
      } catch (InterruptSource.InvalidRegisterException e) {
        throw ProcessorException.generalProtection();
      }
    }
    return find(processor, number).reader().read(processor);
  }

  /**
   * WRMSR, after the check of CPL; #GP(0) if there is no such register or the value is reserved.
   */
  public static void write(Processor processor, int number, long value) {
    if (isX2Apic(number)) {
      try {
        processor.apic().writeX2Apic(number, value);
      } catch (InterruptSource.InvalidRegisterException e) {
        throw ProcessorException.generalProtection();
      }
      return;
    }
    find(processor, number).writer().write(processor, value);
  }

  /** Gives the registers of the table the values which the model has after power-up. */
  static void reset(ProcessorState state, CpuModel model) {
    for (int i = 0; i < STORED; i++) {
      state.modelSpecific[i] = model.resetValue(STORED_NAMES.get(i));
    }
  }
}
