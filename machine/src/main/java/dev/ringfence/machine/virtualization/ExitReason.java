package dev.ringfence.machine.virtualization;

/** Basic exit reasons (SDM volume 3, appendix C), as far as the machine has them. */
public final class ExitReason {
  public static final int EXCEPTION_OR_NMI = 0;
  public static final int EXTERNAL_INTERRUPT = 1;
  public static final int TRIPLE_FAULT = 2;
  public static final int INIT = 3;
  public static final int INTERRUPT_WINDOW = 7;
  public static final int NMI_WINDOW = 8;
  public static final int TASK_SWITCH = 9;
  public static final int CPUID = 10;
  public static final int HLT = 12;
  public static final int INVD = 13;
  public static final int INVLPG = 14;
  public static final int RDPMC = 15;
  public static final int RDTSC = 16;
  public static final int VMCALL = 18;
  public static final int VMCLEAR = 19;
  public static final int VMLAUNCH = 20;
  public static final int VMPTRLD = 21;
  public static final int VMPTRST = 22;
  public static final int VMREAD = 23;
  public static final int VMRESUME = 24;
  public static final int VMWRITE = 25;
  public static final int VMXOFF = 26;
  public static final int VMXON = 27;
  public static final int CONTROL_REGISTER = 28;
  public static final int MOV_DR = 29;
  public static final int IO_INSTRUCTION = 30;
  public static final int RDMSR = 31;
  public static final int WRMSR = 32;
  public static final int INVALID_GUEST_STATE = 33;
  public static final int MSR_LOADING = 34;
  public static final int PAUSE = 40;
  public static final int TPR_BELOW_THRESHOLD = 43;
  public static final int EPT_VIOLATION = 48;
  public static final int EPT_MISCONFIGURATION = 49;
  public static final int INVEPT = 50;
  public static final int RDTSCP = 51;
  public static final int PREEMPTION_TIMER = 52;
  public static final int INVVPID = 53;
  public static final int WBINVD = 54;
  public static final int XSETBV = 55;
  public static final int INVPCID = 58;

  /** Bit 31 of the exit reason: the entry failed. */
  static final int ENTRY_FAILURE = 1 << 31;

  private ExitReason() {}

  /** A reason in the SDM's words. */
  public static String text(int reason) {
    return switch (reason) {
      case EXCEPTION_OR_NMI -> "exception or NMI";
      case EXTERNAL_INTERRUPT -> "external interrupt";
      case TRIPLE_FAULT -> "triple fault";
      case INIT -> "INIT";
      case INTERRUPT_WINDOW -> "interrupt window";
      case NMI_WINDOW -> "NMI window";
      case TASK_SWITCH -> "task switch";
      case CPUID -> "CPUID";
      case HLT -> "HLT";
      case INVD -> "INVD";
      case INVLPG -> "INVLPG";
      case RDPMC -> "RDPMC";
      case RDTSC -> "RDTSC";
      case VMCALL -> "VMCALL";
      case VMCLEAR -> "VMCLEAR";
      case VMLAUNCH -> "VMLAUNCH";
      case VMPTRLD -> "VMPTRLD";
      case VMPTRST -> "VMPTRST";
      case VMREAD -> "VMREAD";
      case VMRESUME -> "VMRESUME";
      case VMWRITE -> "VMWRITE";
      case VMXOFF -> "VMXOFF";
      case VMXON -> "VMXON";
      case CONTROL_REGISTER -> "control register";
      case MOV_DR -> "MOV DR";
      case IO_INSTRUCTION -> "I/O instruction";
      case RDMSR -> "RDMSR";
      case WRMSR -> "WRMSR";
      case INVALID_GUEST_STATE -> "invalid guest state";
      case MSR_LOADING -> "MSR loading";
      case PAUSE -> "PAUSE";
      case TPR_BELOW_THRESHOLD -> "TPR below threshold";
      case EPT_VIOLATION -> "EPT violation";
      case EPT_MISCONFIGURATION -> "EPT misconfiguration";
      case INVEPT -> "INVEPT";
      case RDTSCP -> "RDTSCP";
      case PREEMPTION_TIMER -> "preemption timer";
      case INVVPID -> "INVVPID";
      case WBINVD -> "WBINVD";
      case XSETBV -> "XSETBV";
      case INVPCID -> "INVPCID";
      default -> "reason " + reason;
    };
  }
}
