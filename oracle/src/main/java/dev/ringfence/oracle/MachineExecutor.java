package dev.ringfence.oracle;

/** The machine's processor. */
final class MachineExecutor implements CaseExecutor {
  @Override
  public void execute(CaseRecord input, CaseRecord output) {
    output.copyFrom(input);
  }
}
