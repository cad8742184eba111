package dev.ringfence.machine.virtualization;

/**
 * An exit from a virtual machine on its way: what the exit-information fields of the VMCS will say
 * (SDM volume 3, section 28.2). Fields that an exit does not define are 0.
 *
 * @param reason one of {@link ExitReason}
 * @param qualification the exit qualification
 * @param instructionLength bytes of the instruction that caused it
 * @param instructionInformation VM-exit instruction information
 * @param linear guest-linear address
 * @param physical guest-physical address
 * @param interruption VM-exit interruption information
 * @param interruptionErrorCode VM-exit interruption error code
 */
public record VmExit(
    int reason,
    long qualification,
    int instructionLength,
    int instructionInformation,
    long linear,
    long physical,
    int interruption,
    int interruptionErrorCode) {

  /** An exit caused by an instruction that needs no more words. */
  public static VmExit of(int reason, int instructionLength) {
    return of(reason, 0, instructionLength);
  }

  /** An exit caused by an instruction, with a qualification. */
  public static VmExit of(int reason, long qualification, int instructionLength) {
    return new VmExit(reason, qualification, instructionLength, 0, 0, 0, 0, 0);
  }

  /**
   * An exit caused by an access that extended page tables do not permit, or in which they are
   * malformed.
   */
  public static VmExit ofAccess(int reason, long qualification, long linear, long physical) {
    return new VmExit(reason, qualification, 0, 0, linear, physical, 0, 0);
  }

  /** An exit caused by an exception or interrupt. */
  static VmExit ofEvent(
      int reason, long qualification, int instructionLength, int interruption, int errorCode) {
    return new VmExit(reason, qualification, instructionLength, 0, 0, 0, interruption, errorCode);
  }

  /** An exit caused by an instruction about whose operand in memory there is more to tell. */
  public static VmExit ofOperand(
      int reason, long qualification, int instructionLength, int information, long linear) {
    return new VmExit(reason, qualification, instructionLength, information, linear, 0, 0, 0);
  }
}
