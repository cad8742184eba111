package dev.ringfence.silicon;

import dev.ringfence.machine.cpu.Microarchitecture;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.SpeculationControl;
import java.util.Map;

/** What software does to the hidden state of its core, from one logical processor. */
final class CoreControls implements Microarchitecture {
  private final Core core;
  private final int thread;
  private final boolean flushClearsBuffers;
  private final boolean barrierForgetsReturns;
  private final Map<String, Integer> latencies;

  /**
   * @param processor that is the logical processor
   */
  CoreControls(Core core, int thread, Processor processor) {
    this.core = core;
    this.thread = thread;
    this.flushClearsBuffers = processor.model().has("MD_CLEAR");
    // Intel's barrier covers near returns ("Indirect Branch Predictor Barrier"); AMD's does where
    // CPUID has IBPB_RET, from Zen 4 on (kernel, X86_BUG_IBPB_NO_RET).
    this.barrierForgetsReturns = !processor.model().isAmd() || processor.model().has("IBPB_RET");
    this.latencies = core.model().pipeline().latencies();
  }

  private void takes(String instructionClass) {
    core.owe(thread, latencies.getOrDefault(instructionClass, 0));
  }

  @Override
  public void writeRoot(long root, int pcid, boolean keepTranslations) {
    if (!keepTranslations) {
      core.forgetTranslations();
    }
    takes("write-root");
  }

  @Override
  public void speculationControlChanged(SpeculationControl control) {
    core.setControl(thread, control);
  }

  @Override
  public void barrierIndirectBranchPredictions() {
    core.targets().barrier();
    if (barrierForgetsReturns) {
      core.returnStack(thread).clear();
    }
    takes("branch-barrier");
  }

  @Override
  public void barrierIndirectBranchPredictionsSelectively() {
    barrierIndirectBranchPredictions();
  }

  @Override
  public void fillReturnStack() {
    core.returnStack(thread).fill();
  }

  /** With MD_CLEAR it overwrites what VERW does, too (kernel document hw-vuln/mds.rst). */
  @Override
  public void flushL1Data() {
    core.caches().flushL1Data();
    if (flushClearsBuffers) {
      clearBuffers();
    }
    takes("flush-l1-data");
  }

  @Override
  public void clearBuffers() {
    core.fillBuffers().clear();
    core.storeBuffer().clear(thread);
    core.loadPorts().clear();
  }
}
