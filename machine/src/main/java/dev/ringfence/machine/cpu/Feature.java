package dev.ringfence.machine.cpu;

import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A processor feature that the machine implements, and the CPUID bit that reports it (SDM volume 2,
 * CPUID; APM volume 3, appendix E, from which the names of AMD's own features come). A feature that
 * is not in this list does not exist here, and no model may claim it.
 *
 * @param name the SDM's name
 * @param leaf CPUID leaf
 * @param subleaf CPUID subleaf
 * @param register 0 EAX, 1 EBX, 2 ECX, 3 EDX
 * @param bit number of the bit
 */
public record Feature(String name, int leaf, int subleaf, int register, int bit) {
  private static final int EAX = 0;
  private static final int EBX = 1;
  private static final int ECX = 2;
  private static final int EDX = 3;

  private static final Map<String, Feature> ALL = new LinkedHashMap<>();

  static {
    add(1, 0, EDX, 0, "FPU");
    add(1, 0, EDX, 2, "DE");
    add(1, 0, EDX, 3, "PSE");
    add(1, 0, EDX, 4, "TSC");
    add(1, 0, EDX, 5, "MSR");
    add(1, 0, EDX, 6, "PAE");
    add(1, 0, EDX, 7, "MCE");
    add(1, 0, EDX, 8, "CX8");
    add(1, 0, EDX, 9, "APIC");
    add(1, 0, EDX, 11, "SEP");
    add(1, 0, EDX, 12, "MTRR");
    add(1, 0, EDX, 13, "PGE");
    add(1, 0, EDX, 14, "MCA");
    add(1, 0, EDX, 15, "CMOV");
    add(1, 0, EDX, 16, "PAT");
    add(1, 0, EDX, 17, "PSE-36");
    add(1, 0, EDX, 19, "CLFSH");
    add(1, 0, EDX, 23, "MMX");
    add(1, 0, EDX, 24, "FXSR");
    add(1, 0, EDX, 25, "SSE");
    add(1, 0, EDX, 26, "SSE2");
    add(1, 0, EDX, 27, "SS");
    add(1, 0, EDX, 28, "HTT");
    add(1, 0, ECX, 0, "SSE3");
    add(1, 0, ECX, 5, "VMX");
    add(1, 0, ECX, 9, "SSSE3");
    add(1, 0, ECX, 13, "CMPXCHG16B");
    add(1, 0, ECX, 17, "PCID");
    add(1, 0, ECX, 19, "SSE4.1");
    add(1, 0, ECX, 20, "SSE4.2");
    add(1, 0, ECX, 21, "x2APIC");
    add(1, 0, ECX, 22, "MOVBE");
    add(1, 0, ECX, 23, "POPCNT");
    add(1, 0, ECX, 24, "TSC-Deadline");
    add(1, 0, ECX, 26, "XSAVE");
    add(1, 0, ECX, 30, "RDRAND");
    add(6, 0, EAX, 2, "ARAT");
    add(7, 0, EBX, 0, "FSGSBASE");
    add(7, 0, EBX, 1, "TSC_ADJUST");
    add(7, 0, EBX, 4, "HLE");
    add(7, 0, EBX, 7, "SMEP");
    add(7, 0, EBX, 9, "ERMS");
    add(7, 0, EBX, 10, "INVPCID");
    add(7, 0, EBX, 11, "RTM");
    add(7, 0, EBX, 11, "RTM");
    add(7, 0, EBX, 18, "RDSEED");
    add(7, 0, EBX, 20, "SMAP");
    add(7, 0, EBX, 23, "CLFLUSHOPT");
    add(7, 0, EBX, 24, "CLWB");
    add(7, 0, ECX, 2, "UMIP");
    add(7, 0, EDX, 10, "MD_CLEAR");
    add(7, 0, EDX, 11, "RTM_ALWAYS_ABORT");
    add(7, 0, EDX, 26, "IBRS");
    add(7, 0, EDX, 27, "STIBP");
    add(7, 0, EDX, 28, "L1D_FLUSH");
    add(7, 0, EDX, 29, "ARCH_CAPABILITIES");
    add(7, 0, EDX, 31, "SSBD");
    add(7, 2, EDX, 0, "PSFD");
    add(7, 2, EDX, 1, "IPRED_CTRL");
    add(7, 2, EDX, 2, "RRSBA_CTRL");
    add(7, 2, EDX, 3, "DDPD_U");
    add(7, 2, EDX, 4, "BHI_CTRL");
    add(0xd, 1, EAX, 0, "XSAVEOPT");
    add(0x80000001, 0, ECX, 0, "LAHF-SAHF");
    add(0x80000001, 0, ECX, 8, "PREFETCHW");
    add(0x80000001, 0, EDX, 11, "SYSCALL");
    add(0x80000001, 0, EDX, 20, "NX");
    add(0x80000001, 0, EDX, 26, "1-GByte-pages");
    add(0x80000001, 0, EDX, 27, "RDTSCP");
    add(0x80000001, 0, EDX, 29, "Intel-64");
    add(0x80000001, 0, ECX, 22, "TopologyExtensions");
    add(0x80000001, 0, EDX, 22, "MmxExt");
    add(0x80000007, 0, EDX, 8, "Invariant-TSC");
    add(0x80000008, 0, EBX, 2, "XSaveErPtr");
    add(0x80000008, 0, EBX, 12, "AMD-IBPB");
    add(0x80000008, 0, EBX, 14, "AMD-IBRS");
    add(0x80000008, 0, EBX, 15, "AMD-STIBP");
    add(0x80000008, 0, EBX, 17, "AMD-STIBP-always-on");
    add(0x80000008, 0, EBX, 18, "AMD-IBRS-preferred");
    add(0x80000008, 0, EBX, 19, "AMD-IBRS-same-mode");
    add(0x80000008, 0, EBX, 24, "AMD-SSBD");
    add(0x80000008, 0, EBX, 28, "AMD-PSFD");
    add(0x80000008, 0, EBX, 29, "BTC_NO");
    add(0x80000008, 0, EBX, 30, "IBPB_RET");
    add(0x80000021, 0, EAX, 2, "LFENCE-serializing");
    add(0x80000021, 0, EAX, 5, "VERW_CLEAR");
    add(0x80000021, 0, EAX, 6, "NullSelectorClearsBase");
    add(0x80000021, 0, EAX, 8, "AutoIBRS");
    add(0x80000021, 0, EAX, 27, "SBPB");
    add(0x80000021, 0, EAX, 28, "IBPB_BRTYPE");
    add(0x80000021, 0, EAX, 29, "SRSO_NO");
  }

  private static void add(int leaf, int subleaf, int register, int bit, String name) {
    ALL.put(name, new Feature(name, leaf, subleaf, register, bit));
  }

  /** All features that the machine implements. */
  public static Collection<Feature> all() {
    return Collections.unmodifiableCollection(ALL.values());
  }

  /** The feature of a name. */
  public static Optional<Feature> of(String name) {
    return Optional.ofNullable(ALL.get(name));
  }
}
