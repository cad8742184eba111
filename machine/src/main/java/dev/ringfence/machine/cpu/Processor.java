package dev.ringfence.machine.cpu;

import dev.ringfence.machine.interrupt.InterruptSource;
import dev.ringfence.machine.interrupt.ProcessorSignals;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import dev.ringfence.machine.virtualization.Vmx;
import java.util.Objects;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/** One processor: its state, and what its instructions can reach. */
public final class Processor implements ProcessorSignals, Stateful {
  private final int index;
  private final CpuModel model;
  private final ProcessorState state = new ProcessorState();
  private final PhysicalMemory physical;
  private final IoSpace ports;
  private final VirtualClock clock;
  private final Frequency timeStampCounter;
  private final TranslatedMemory memory;
  private final Vmx vmx;
  private @Nullable InterruptSource apic;
  private @Nullable Probe probe;
  private Microarchitecture microarchitecture = Microarchitecture.NONE;
  private @Nullable LongSupplier timeStampSource;
  private long time;
  private long instructions;
  private long instructionsAtException = -1;
  private boolean attention = true;
  private boolean stopRequested;
  private boolean asleep;
  private boolean nonMaskablePending;
  private boolean initPending;
  private int startupVector = -1;
  private int count = 1;

  public Processor(
      int index,
      CpuModel model,
      PhysicalMemory physical,
      IoSpace ports,
      VirtualClock clock,
      Frequency timeStampCounter) {
    this.index = index;
    this.model = model;
    this.physical = physical;
    this.ports = ports;
    this.clock = clock;
    this.timeStampCounter = timeStampCounter;
    this.memory = new TranslatedMemory(state, physical, model.physicalAddressBits());
    memory.setDeviceGate(this::requestAttention);
    this.vmx = new Vmx(this);
  }

  /** Number of the processor, which is also its initial APIC ID. */
  public int index() {
    return index;
  }

  /** Virtual-machine extensions. */
  public Vmx vmx() {
    return vmx;
  }

  /**
   * Who observes this processor, or null. What a virtual machine does inside is no business of who
   * observes its host, so there is nobody while one runs.
   */
  public @Nullable Probe probe() {
    return vmx.nonRoot() ? null : probe;
  }

  /** Like {@link #probe}, but while a virtual machine runs, too. */
  public @Nullable Probe observer() {
    return probe;
  }

  /** For {@link dev.ringfence.machine.probe.Probes}. */
  public void setProbe(@Nullable Probe observer) {
    probe = observer;
  }

  /** The silicon, as far as software controls it. */
  public Microarchitecture microarchitecture() {
    return microarchitecture;
  }

  /** Carries out a flush that software asks for. */
  public void flush(Probe.Flush flush) {
    switch (flush) {
      case L1_DATA -> microarchitecture.flushL1Data();
      case BRANCH_PREDICTIONS -> microarchitecture.barrierIndirectBranchPredictions();
      case BUFFERS -> microarchitecture.clearBuffers();
    }
    Probe told = probe();
    if (told != null) {
      told.flushed(this, flush);
    }
  }

  /** Takes off who is attached, and forgets what the host wanted of it. */
  public void recycle() {
    setMicroarchitecture(Microarchitecture.NONE);
    timeStampSource = null;
    stopRequested = false;
    memory.recycle();
  }

  /** Connects the silicon, which learns at once what software has restricted so far. */
  public void setMicroarchitecture(Microarchitecture silicon) {
    microarchitecture = silicon;
    speculationControlChanged();
  }

  /** How software restricts execution ahead of time at present. */
  public SpeculationControl speculationControl() {
    return ModelSpecificRegisters.speculation().control(this);
  }

  void speculationControlChanged() {
    microarchitecture.speculationControlChanged(speculationControl());
  }

  /** Number of processors of the machine, for the topology that CPUID reports. */
  public int count() {
    return count;
  }

  public void setCount(int processors) {
    count = processors;
  }

  public CpuModel model() {
    return model;
  }

  public ProcessorState state() {
    return state;
  }

  public TranslatedMemory memory() {
    return memory;
  }

  public PhysicalMemory physical() {
    return physical;
  }

  public IoSpace ports() {
    return ports;
  }

  public VirtualClock clock() {
    return clock;
  }

  /** The local APIC. */
  public InterruptSource apic() {
    return Objects.requireNonNull(apic, "processor has no local APIC yet");
  }

  public void connect(InterruptSource localApic) {
    apic = localApic;
  }

  /**
   * Nanoseconds that this processor has lived through, up to the start of the block that it
   * executes.
   */
  public long time() {
    return time;
  }

  /** Moves the processor's time: by the machine, when the processor was idle. */
  public void setTime(long nanoseconds) {
    time = nanoseconds;
  }

  /** Instructions completed, up to the start of the block that it executes. */
  public long instructions() {
    return instructions;
  }

  /** Counts completed instructions; each takes one nanosecond. */
  public void complete(int count) {
    instructions += count;
    time += count;
  }

  /** Counts completed instructions that took as long as an executor says. */
  public void complete(int count, long nanoseconds) {
    instructions += count;
    time += nanoseconds;
  }

  /**
   * An exception is about to be delivered. Instructions that raise one take no time, so handlers
   * that raise one themselves, at their first instruction and for ever, would never let a timer
   * expire: where no instruction has completed since the last exception, a nanosecond passes.
   */
  public void exceptionRaised() {
    if (instructions == instructionsAtException) {
      time++;
    }
    instructionsAtException = instructions;
  }

  /**
   * PAUSE: time passes, so that with several processors the one that is waited for gets its turn.
   * 140 cycles is what the instruction takes on Skylake (Intel optimization manual, section 2.5.4);
   * at 2 to 3 GHz that is about 50 ns.
   */
  public void pause() {
    time += 50;
  }

  /** IA32_TIME_STAMP_COUNTER as this processor's software sees it now. */
  public long timeStamp() {
    long ticks =
        timeStampSource == null
            ? timeStampCounter.ticksAt(clock.now())
            : timeStampSource.getAsLong();
    return ticks + state.tscOffset + vmx.timeStampOffset();
  }

  /** Ticks of the time-stamp counter in a second, before any offset. */
  public Frequency timeStampFrequency() {
    return timeStampCounter;
  }

  /**
   * Sets who counts the ticks of the time-stamp counter since power-on, or null for the clock: an
   * executor that knows the cycle at which an instruction reads it.
   */
  public void setTimeStampSource(@Nullable LongSupplier source) {
    timeStampSource = source;
  }

  /** Makes the executor look for interrupts and other events before the next instruction. */
  public void requestAttention() {
    attention = true;
  }

  /** Makes the executor return at the next instruction boundary. */
  public void requestStop() {
    stopRequested = true;
    attention = true;
  }

  public boolean stopRequested() {
    return stopRequested;
  }

  public void clearStopRequest() {
    stopRequested = false;
  }

  /** Called by the executor when there is nothing to execute. */
  public void fallAsleep() {
    asleep = true;
  }

  /** Whether the executor found nothing to execute, and nothing has happened since. */
  public boolean idle() {
    return asleep && !attention;
  }

  /** A processor that was asleep goes on at the given time, when what woke it happened. */
  public void wake(long nanoseconds) {
    if (asleep) {
      asleep = false;
      time = Math.max(time, nanoseconds);
    }
  }

  /** Whether the executor must look for events. */
  public boolean needsAttention() {
    return attention;
  }

  /** Called by the executor when it has looked. */
  public void attended() {
    attention = false;
  }

  /**
   * Whether something must be done before the next instruction, so that {@link #needsAttention} can
   * be left alone after an instruction that may have changed modes or the interrupt flag.
   */
  public boolean mustAttend() {
    return stopRequested
        || initPending
        || nonMaskablePending
        || state.halted
        || state.waitsForStartup
        || InstructionBoundary.mustStep(state)
        || vmx.mustAttend()
        || InstructionBoundary.interruptsEnabled(state) && apic().hasInterrupt();
  }

  /** After an instruction that may have changed modes, privilege or the interrupt flag. */
  public void afterSystemInstruction() {
    memory.contextChanged();
    attention = true;
  }

  @Override
  public void interruptPending() {
    attention = true;
  }

  @Override
  public void nonMaskable() {
    nonMaskablePending = true;
    attention = true;
  }

  @Override
  public void init() {
    initPending = true;
    startupVector = -1;
    attention = true;
  }

  @Override
  public void startup(int vector) {
    startupVector = vector;
    attention = true;
  }

  /** Takes a pending INIT. */
  public boolean takeInit() {
    boolean pending = initPending;
    initPending = false;
    return pending;
  }

  /** Takes the vector of a pending start-up message, or -1. */
  public int takeStartup() {
    int vector = startupVector;
    startupVector = -1;
    return vector;
  }

  /** Whether an NMI waits. */
  public boolean nonMaskablePending() {
    return nonMaskablePending;
  }

  /** Takes the pending NMI. */
  public void takeNonMaskable() {
    nonMaskablePending = false;
  }

  @Override
  public String stateName() {
    return "processor-" + index;
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(time);
    out.writeLong(instructions);
    out.writeLong(instructionsAtException);
    out.writeBoolean(nonMaskablePending);
    out.writeBoolean(initPending);
    out.writeInt(startupVector);
    out.writeBoolean(asleep);
    out.writeBoolean(attention);
    state.save(out);
    memory.save(out);
    vmx.save(out);
  }

  @Override
  public void restore(StateReader in) {
    time = in.readLong();
    instructions = in.readLong();
    instructionsAtException = in.readLong();
    nonMaskablePending = in.readBoolean();
    initPending = in.readBoolean();
    startupVector = in.readInt("start-up vector", -1, 255);
    asleep = in.readBoolean();
    attention = in.readBoolean();
    state.restore(in);
    memory.restore(in);
    vmx.restore(in);
  }
}
