package dev.ringfence.machine.cpu;

import dev.ringfence.machine.probe.Probe;
import java.util.function.Predicate;

/**
 * The model-specific registers that control or describe execution ahead of time. Each change is
 * told to the {@link Microarchitecture}; architectural state has nothing else to show of it.
 *
 * <p>An object, because it takes part in making the table of {@link ModelSpecificRegisters}: two
 * classes that need each other while they are initialized can wait for each other forever.
 */
final class SpeculationRegisters {
  private static final long IBRS = 1;
  private static final long STIBP = 1 << 1;
  private static final long SSBD = 1 << 2;
  private static final long IPRED_DIS = 3 << 3;
  private static final long RRSBA_DIS_U = 1 << 5;
  private static final long RRSBA_DIS_S = 1 << 6;
  private static final long PSFD = 1 << 7;
  private static final long DDPD_U = 1 << 8;
  private static final long BHI_DIS_S = 1 << 10;

  private static final long IBPB = 1;
  private static final long SBPB = 1 << 7;

  private static final long TSX_CTRL_EXISTS = 1 << 7;
  private static final long RTM_DISABLE = 1;
  private static final long TSX_CPUID_CLEAR = 1 << 1;

  private static final long LFENCE_SERIALIZES = 1 << 1;

  /** "Technical Guidance for Mitigating Branch Type Confusion", AMD. */
  private static final long SUPPRESS_NON_BRANCHES = 1 << 1;

  /** Disables store bypass on family 17H ("Speculative Store Bypass Disable", AMD). */
  private static final long LS_CFG_SSBD = 1 << 10;

  // Where the values are in ProcessorState.modelSpecific.
  private final int control = ModelSpecificRegisters.store("IA32_SPEC_CTRL");
  private final int transactions = ModelSpecificRegisters.store("IA32_TSX_CTRL");
  private final int capabilities = ModelSpecificRegisters.store("IA32_ARCH_CAPABILITIES");
  private final int decoder = ModelSpecificRegisters.store("DE_CFG");
  private final int decoderMore = ModelSpecificRegisters.store("DE_CFG2");
  private final int loadsAndStores = ModelSpecificRegisters.store("LS_CFG");

  /** Puts the registers into the table. */
  void define() {
    ModelSpecificRegisters.add(
        0x48,
        "IA32_SPEC_CTRL",
        model -> definedControls(model) != 0,
        ModelSpecificRegisters.stored(control),
        (processor, value) -> {
          ModelSpecificRegisters.require((value & ~definedControls(processor.model())) == 0);
          change(processor, control, value);
        });
    ModelSpecificRegisters.add(
        0x49,
        "IA32_PRED_CMD",
        model -> definedBarriers(model) != 0,
        ModelSpecificRegisters.NOT_READABLE,
        SpeculationRegisters::barrier);
    ModelSpecificRegisters.add(
        0x10a,
        "IA32_ARCH_CAPABILITIES",
        model -> model.has("ARCH_CAPABILITIES"),
        ModelSpecificRegisters.stored(capabilities),
        ModelSpecificRegisters.NOT_WRITABLE);
    ModelSpecificRegisters.add(
        0x10b,
        "IA32_FLUSH_CMD",
        model -> model.has("L1D_FLUSH"),
        ModelSpecificRegisters.NOT_READABLE,
        (processor, value) -> {
          ModelSpecificRegisters.require((value & ~1L) == 0);
          if (value != 0) {
            processor.flush(Probe.Flush.L1_DATA);
          }
        });
    ModelSpecificRegisters.add(
        0x122,
        "IA32_TSX_CTRL",
        model ->
            model.has("ARCH_CAPABILITIES")
                && (model.resetValue("IA32_ARCH_CAPABILITIES") & TSX_CTRL_EXISTS) != 0,
        ModelSpecificRegisters.stored(transactions),
        (processor, value) -> {
          ModelSpecificRegisters.require((value & ~(RTM_DISABLE | TSX_CPUID_CLEAR)) == 0);
          change(processor, transactions, value);
        });
    amd(0xc0011029, "DE_CFG", CpuModel::isAmd, decoder);
    amd(0xc0011020, "LS_CFG", CpuModel::isAmd, loadsAndStores);
    amd(0xc00110e3, "DE_CFG2", SpeculationRegisters::isZen2, decoderMore);
  }

  private static boolean isZen2(CpuModel model) {
    return model.isAmd() && model.family() == 0x17 && model.modelNumber() >= 0x30;
  }

  /** A register of AMD whose bits are mostly undocumented: all can be set. */
  private static void amd(int number, String name, Predicate<CpuModel> exists, int index) {
    ModelSpecificRegisters.add(
        number,
        name,
        exists,
        ModelSpecificRegisters.stored(index),
        (processor, value) -> change(processor, index, value));
  }

  private static void change(Processor processor, int index, long value) {
    processor.state().modelSpecific[index] = value;
    processor.speculationControlChanged();
  }

  private static void barrier(Processor processor, long value) {
    ModelSpecificRegisters.require((value & ~definedBarriers(processor.model())) == 0);
    if ((value & IBPB) != 0) {
      processor.flush(Probe.Flush.BRANCH_PREDICTIONS);
    } else if ((value & SBPB) != 0) {
      processor.microarchitecture().barrierIndirectBranchPredictionsSelectively();
    }
  }

  private static long definedControls(CpuModel model) {
    long defined = 0;
    if (model.has("IBRS") || model.has("AMD-IBRS")) {
      defined |= IBRS;
    }
    if (model.has("STIBP") || model.has("AMD-STIBP")) {
      defined |= STIBP;
    }
    if (model.has("SSBD") || model.has("AMD-SSBD")) {
      defined |= SSBD;
    }
    if (model.has("PSFD") || model.has("AMD-PSFD")) {
      defined |= PSFD;
    }
    if (model.has("IPRED_CTRL")) {
      defined |= IPRED_DIS;
    }
    if (model.has("RRSBA_CTRL")) {
      defined |= RRSBA_DIS_U | RRSBA_DIS_S;
    }
    if (model.has("DDPD_U")) {
      defined |= DDPD_U;
    }
    if (model.has("BHI_CTRL")) {
      defined |= BHI_DIS_S;
    }
    return defined;
  }

  private static long definedBarriers(CpuModel model) {
    return (model.has("IBRS") || model.has("AMD-IBPB") ? IBPB : 0) | (model.has("SBPB") ? SBPB : 0);
  }

  /** Whether CPUID hides RTM and HLE. */
  boolean hidesTransactions(ProcessorState state) {
    return (state.modelSpecific[transactions] & TSX_CPUID_CLEAR) != 0;
  }

  /** What all registers together say. */
  SpeculationControl control(Processor processor) {
    ProcessorState state = processor.state();
    long bits = state.modelSpecific[control];
    boolean amd = processor.model().isAmd();
    return new SpeculationControl(
        (bits & IBRS) != 0 || (state.efer & ControlBits.EFER_AIBRSE) != 0,
        (bits & STIBP) != 0,
        (bits & SSBD) != 0 || (state.modelSpecific[loadsAndStores] & LS_CFG_SSBD) != 0,
        (bits & RRSBA_DIS_S) != 0,
        (bits & BHI_DIS_S) != 0,
        !amd
            || processor.model().has("LFENCE-serializing")
            || (state.modelSpecific[decoder] & LFENCE_SERIALIZES) != 0,
        (state.modelSpecific[decoderMore] & SUPPRESS_NON_BRANCHES) != 0,
        (state.modelSpecific[transactions] & RTM_DISABLE) != 0);
  }
}
