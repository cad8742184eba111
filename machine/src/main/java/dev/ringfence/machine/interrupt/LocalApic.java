package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.Arrays;
import java.util.function.LongSupplier;

/**
 * Local APIC of one processor (Intel SDM volume 3, chapter 11 "Advanced Programmable Interrupt
 * Controller"), in xAPIC and x2APIC mode. Version 14H with six local vectors; no CMCI, no directed
 * EOI, no extended APIC space.
 *
 * <p>Registers, by offset in the xAPIC page; x2APIC MSR = 800H + offset / 10H:
 *
 * <pre>
 *  020 ID        030 version   080 TPR     090 APR    0A0 PPR    0B0 EOI    0D0 LDR    0E0 DFR
 *  0F0 SVR       100-170 ISR   180-1F0 TMR            200-270 IRR           280 ESR
 *  300 ICR low   310 ICR high  320 timer   330 thermal 340 performance      350 LINT0  360 LINT1  370 error
 *  380 initial count           390 current count       3E0 divide configuration
 *  3F0 self IPI (x2APIC only)
 * </pre>
 */
public final class LocalApic implements InterruptSource, Stateful {
  /** Physical address of the register page after reset. */
  public static final long DEFAULT_BASE = 0xfee0_0000L;

  private static final int ID = 0x020;
  private static final int VERSION = 0x030;
  private static final int TASK_PRIORITY = 0x080;
  private static final int ARBITRATION_PRIORITY = 0x090;
  private static final int PROCESSOR_PRIORITY = 0x0a0;
  private static final int END_OF_INTERRUPT = 0x0b0;
  private static final int LOGICAL_DESTINATION = 0x0d0;
  private static final int DESTINATION_FORMAT = 0x0e0;
  private static final int SPURIOUS_VECTOR = 0x0f0;
  private static final int IN_SERVICE = 0x100;
  private static final int TRIGGER_MODE = 0x180;
  private static final int ERROR_STATUS = 0x280;
  private static final int COMMAND_LOW = 0x300;
  private static final int COMMAND_HIGH = 0x310;
  private static final int LOCAL_VECTORS = 0x320;
  private static final int INITIAL_COUNT = 0x380;
  private static final int CURRENT_COUNT = 0x390;
  private static final int DIVIDE_CONFIGURATION = 0x3e0;
  private static final int SELF_INTERRUPT = 0x3f0;

  /** Version 14H, highest local vector entry 5. */
  private static final int VERSION_VALUE = 0x0005_0014;

  private static final int TIMER = 0;
  private static final int PERFORMANCE = 2;
  private static final int LINT0 = 3;
  private static final int LINT1 = 4;
  private static final int ERROR = 5;

  /**
   * Writable bits of each local vector table entry (SDM figure 11-8); bits 12 and 14 are status.
   */
  private static final int[] LOCAL_VECTOR_BITS = {
    0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff
  };

  private static final int MASKED = 1 << 16;
  private static final int LEVEL_TRIGGERED = 1 << 15;
  private static final int REMOTE_IRR = 1 << 14;
  private static final int DELIVERY_STATUS = 1 << 12;
  private static final int SOFTWARE_ENABLE = 1 << 8;

  private static final int SEND_ILLEGAL_VECTOR = 1 << 5;
  private static final int RECEIVE_ILLEGAL_VECTOR = 1 << 6;
  private static final int ILLEGAL_REGISTER = 1 << 7;

  /**
   * Bits of the low command register that can be written: all but delivery status and the reserved
   * ones.
   */
  private static final int COMMAND_BITS = 0xc_cfff;

  private static final long BASE_BOOTSTRAP = 1 << 8;
  private static final long BASE_X2APIC = 1 << 10;
  private static final long BASE_ENABLE = 1 << 11;

  private final int id;
  private final long baseReserved;
  private final ApicBus bus;
  private final ExternalInterrupts external;
  private final LocalApicTimer timer;
  private ProcessorSignals processor;
  private Runnable baseListener = () -> {};

  private long base;
  private final int[] inService = new int[8];
  private final int[] triggerMode = new int[8];
  private final int[] requests = new int[8];
  private final int[] localVectors = new int[6];
  private final boolean[] localLines = new boolean[2];
  private int taskPriority;
  private int logicalDestination;
  private int destinationFormat;
  private int spuriousVector;
  private int errorStatus;
  private int errorsDetected;
  private int commandLow;
  private int commandHigh;
  private boolean externalRequested;

  /**
   * @param id initial APIC identifier; the processor with identifier 0 is the bootstrap processor
   * @param physicalAddressBits width of physical addresses, which bounds IA32_APIC_BASE
   * @param frequency rate of the timer's input clock: the core crystal clock that CPUID leaf 15H
   *     reports
   * @param timeStampCounter the invariant counter that all processors share, without offsets
   * @param external the 8259 pair, whose output is wired to LINT0
   */
  public LocalApic(
      int id,
      int physicalAddressBits,
      ApicBus bus,
      ExternalInterrupts external,
      VirtualClock clock,
      Frequency frequency,
      Frequency timeStampCounter) {
    this.id = id;
    this.baseReserved =
        -1L << physicalAddressBits | 0xfff & ~(BASE_BOOTSTRAP | BASE_X2APIC | BASE_ENABLE);
    this.bus = bus;
    this.external = external;
    this.timer =
        new LocalApicTimer(
            "local-apic-" + id + "-timer",
            clock,
            frequency,
            timeStampCounter,
            () -> deliverLocal(TIMER));
    this.processor = new NoProcessor();
    bus.attach(this);
    powerOn();
  }

  /** Stands in until the machine has connected its processor. */
  private static final class NoProcessor implements ProcessorSignals {
    @Override
    public void interruptPending() {}

    @Override
    public void nonMaskable() {}

    @Override
    public void init() {}

    @Override
    public void startup(int vector) {}
  }

  /**
   * Connects the processor that takes this APIC's interrupts.
   *
   * @param timeStampOffset what the processor adds to the time-stamp counter (IA32_TSC writes)
   */
  public void connect(ProcessorSignals signals, LongSupplier timeStampOffset) {
    this.processor = signals;
    timer.setTimeStampOffset(timeStampOffset);
  }

  /** Told after IA32_APIC_BASE changed, so that the register page can follow. */
  void setBaseListener(Runnable listener) {
    this.baseListener = listener;
  }

  public int id() {
    return id;
  }

  /**
   * Power-up or RESET: xAPIC mode at the default base, everything masked (SDM section 11.4.7.1).
   */
  void powerOn() {
    base = DEFAULT_BASE | BASE_ENABLE | (id == 0 ? BASE_BOOTSTRAP : 0);
    baseListener.run();
    resetRegisters();
    Arrays.fill(localLines, false);
  }

  /** State after INIT: as after reset, but identifier and base stay (SDM section 11.4.7.3). */
  private void resetRegisters() {
    Arrays.fill(inService, 0);
    Arrays.fill(triggerMode, 0);
    Arrays.fill(requests, 0);
    Arrays.fill(localVectors, MASKED);
    taskPriority = 0;
    logicalDestination = 0;
    destinationFormat = -1;
    spuriousVector = 0xff;
    errorStatus = 0;
    errorsDetected = 0;
    commandLow = 0;
    commandHigh = 0;
    externalRequested = false;
    timer.reset();
  }

  /**
   * Virtual wire mode, in which firmware leaves the bootstrap processor (MultiProcessor
   * Specification 1.4, section 3.6.2.2): enabled, LINT0 takes the 8259 pair's vectors, LINT1 is
   * NMI.
   */
  public void enterVirtualWireMode() {
    spuriousVector |= SOFTWARE_ENABLE;
    writeLocalVector(LINT0, DeliveryMode.EXTERNAL.inRegister());
    writeLocalVector(LINT1, DeliveryMode.NON_MASKABLE.inRegister());
  }

  // --- modes ---

  boolean isHardwareEnabled() {
    return (base & BASE_ENABLE) != 0;
  }

  boolean isX2Apic() {
    return (base & BASE_X2APIC) != 0;
  }

  boolean isSoftwareEnabled() {
    return isHardwareEnabled() && (spuriousVector & SOFTWARE_ENABLE) != 0;
  }

  /** Whether the register page lies at a physical page address, for the processor of this APIC. */
  boolean hasPageAt(long pageAddress) {
    return isHardwareEnabled() && !isX2Apic() && pageAddress() == pageAddress;
  }

  long pageAddress() {
    return base & ~0xfffL;
  }

  @Override
  public long base() {
    return base;
  }

  @Override
  public void setBase(long value) throws InvalidRegisterException {
    if ((value & baseReserved) != 0) {
      throw new InvalidRegisterException(
          "IA32_APIC_BASE: reserved bits in " + Long.toHexString(value));
    }
    boolean enable = (value & BASE_ENABLE) != 0;
    boolean x2 = (value & BASE_X2APIC) != 0;
    // SDM figure 11-27: x2APIC needs the enable bit, is entered from xAPIC mode only, and is left
    // by disabling only.
    if (x2 && !enable || isX2Apic() && enable && !x2 || !isHardwareEnabled() && x2) {
      throw new InvalidRegisterException(
          "IA32_APIC_BASE: invalid transition to " + Long.toHexString(value));
    }
    boolean wasEnabled = isHardwareEnabled();
    boolean wasX2 = isX2Apic();
    // The bootstrap flag is kept: it tells which processor was chosen at power-up.
    base = value & ~BASE_BOOTSTRAP | base & BASE_BOOTSTRAP;
    if (wasEnabled && !enable) {
      resetRegisters();
    } else if (x2 && !wasX2) {
      logicalDestination = x2ApicLogicalIdentifier();
      commandHigh = 0;
    }
    baseListener.run();
    signalIfPending();
  }

  private int x2ApicLogicalIdentifier() {
    return id >>> 4 << 16 | 1 << (id & 15);
  }

  // --- messages from the bus ---

  boolean isAddressedBy(InterruptMessage message) {
    if (!isHardwareEnabled()) {
      return false;
    }
    int destination = message.destination();
    if (message.wide() ? destination == -1 : !message.logical() && destination == 0xff) {
      return true;
    }
    if (!message.logical()) {
      return destination == id;
    }
    if (isX2Apic()) {
      return destination >>> 16 == logicalDestination >>> 16
          && (destination & logicalDestination & 0xffff) != 0;
    }
    int mine = logicalDestination >>> 24;
    if (destinationFormat >>> 28 == 0xf) {
      return (destination & mine) != 0;
    }
    boolean sameCluster = destination >>> 4 == mine >>> 4 || destination >>> 4 == 0xf;
    return sameCluster && (destination & mine & 0xf) != 0;
  }

  /** Takes a message that addresses this APIC; returns whether it was accepted. */
  boolean accept(InterruptMessage message) {
    if (!isHardwareEnabled()) {
      return false;
    }
    switch (message.mode()) {
      case FIXED, LOWEST_PRIORITY -> {
        return request(message.vector(), message.level());
      }
      case NON_MASKABLE -> processor.nonMaskable();
      case INIT -> {
        resetRegisters();
        processor.init();
      }
      case STARTUP -> processor.startup(message.vector());
      case EXTERNAL -> {
        externalRequested = true;
        processor.interruptPending();
      }
      case SYSTEM_MANAGEMENT, RESERVED -> {
        // There is no system management mode; firmware that would use it does not exist either.
        return false;
      }
    }
    return true;
  }

  private boolean request(int vector, boolean level) {
    if (!isSoftwareEnabled()) {
      return false;
    }
    if (vector < 16) {
      detectError(RECEIVE_ILLEGAL_VECTOR);
      return false;
    }
    int bit = 1 << (vector & 31);
    requests[vector >>> 5] |= bit;
    if (level) {
      triggerMode[vector >>> 5] |= bit;
    } else {
      triggerMode[vector >>> 5] &= ~bit;
    }
    signalIfPending();
    return true;
  }

  private void detectError(int error) {
    boolean first = (errorsDetected & error) == 0;
    errorsDetected |= error;
    // The error vector may itself be illegal: it is recorded once, and must not recurse.
    if (first) {
      deliverLocal(ERROR);
    }
  }

  // --- local vectors ---

  /** Drives LINT0 (the 8259 pair's INTR). */
  public void setLint0(boolean asserted) {
    setLocalLine(LINT0, asserted);
  }

  /** Drives LINT1 (NMI). */
  public void setLint1(boolean asserted) {
    setLocalLine(LINT1, asserted);
  }

  private void setLocalLine(int entry, boolean asserted) {
    boolean rising = asserted && !localLines[entry - LINT0];
    localLines[entry - LINT0] = asserted;
    if (!isHardwareEnabled()) {
      // Disabled, the pins are INTR and NMI of the processor (SDM section 11.4.3).
      if (entry == LINT0 && asserted) {
        processor.interruptPending();
      } else if (rising) {
        processor.nonMaskable();
      }
      return;
    }
    DeliveryMode mode = DeliveryMode.ofRegister(localVectors[entry]);
    boolean levelSensitive =
        mode == DeliveryMode.EXTERNAL
            || mode == DeliveryMode.FIXED && (localVectors[entry] & LEVEL_TRIGGERED) != 0;
    if (levelSensitive ? asserted : rising) {
      deliverLocal(entry);
    }
  }

  private void deliverLocal(int entry) {
    int register = localVectors[entry];
    if ((register & MASKED) != 0) {
      return;
    }
    DeliveryMode mode =
        entry == TIMER || entry == ERROR ? DeliveryMode.FIXED : DeliveryMode.ofRegister(register);
    switch (mode) {
      case FIXED -> {
        boolean level = (entry == LINT0 || entry == LINT1) && (register & LEVEL_TRIGGERED) != 0;
        if (level) {
          if ((register & REMOTE_IRR) != 0) {
            return;
          }
          localVectors[entry] |= REMOTE_IRR;
        }
        boolean unused = request(register & 0xff, level);
      }
      case NON_MASKABLE -> processor.nonMaskable();
      case INIT -> {
        resetRegisters();
        processor.init();
      }
      case EXTERNAL -> processor.interruptPending();
      case LOWEST_PRIORITY, SYSTEM_MANAGEMENT, RESERVED, STARTUP -> {
        // Not supported in local vectors (SDM section 11.5.1).
      }
    }
  }

  /**
   * The performance counters overflowed: raises the local vector for them and masks it, as the SDM
   * says.
   */
  public void performanceMonitoringInterrupt() {
    deliverLocal(PERFORMANCE);
    localVectors[PERFORMANCE] |= MASKED;
  }

  // --- priorities and the interrupt cycle ---

  private static int highest(int[] bits) {
    for (int i = 7; i >= 0; i--) {
      if (bits[i] != 0) {
        return i * 32 + 31 - Integer.numberOfLeadingZeros(bits[i]);
      }
    }
    return -1;
  }

  /** Processor priority register (SDM section 11.8.3.1). */
  int processorPriority() {
    int served = Math.max(0, highest(inService)) & 0xf0;
    return (taskPriority & 0xf0) >= served ? taskPriority : served;
  }

  private int deliverableVector() {
    if (!isHardwareEnabled()) {
      return -1;
    }
    int vector = highest(requests);
    return vector >= 0 && (vector & 0xf0) > (processorPriority() & 0xf0) ? vector : -1;
  }

  private boolean externalPending() {
    if (!external.isRequesting()) {
      return false;
    }
    boolean throughLint0 =
        !isHardwareEnabled()
            || (localVectors[LINT0] & MASKED) == 0
                && DeliveryMode.ofRegister(localVectors[LINT0]) == DeliveryMode.EXTERNAL;
    // Without a local APIC in the way only the bootstrap processor is wired to the 8259 pair.
    return externalRequested || throughLint0 && (isHardwareEnabled() || id == 0);
  }

  private void signalIfPending() {
    if (hasInterrupt()) {
      processor.interruptPending();
    }
  }

  @Override
  public boolean hasInterrupt() {
    return deliverableVector() >= 0 || externalPending();
  }

  @Override
  public int acknowledge() {
    int vector = deliverableVector();
    if (vector >= 0) {
      int bit = 1 << (vector & 31);
      requests[vector >>> 5] &= ~bit;
      inService[vector >>> 5] |= bit;
      return vector;
    }
    if (externalPending()) {
      externalRequested = false;
      return external.acknowledge();
    }
    externalRequested = false;
    return -1;
  }

  private void endOfInterrupt() {
    int vector = highest(inService);
    if (vector < 0) {
      return;
    }
    int bit = 1 << (vector & 31);
    inService[vector >>> 5] &= ~bit;
    if ((triggerMode[vector >>> 5] & bit) != 0) {
      bus.endOfInterrupt(vector);
      for (int entry = LINT0; entry <= LINT1; entry++) {
        if ((localVectors[entry] & (REMOTE_IRR | 0xff)) == (REMOTE_IRR | vector)) {
          localVectors[entry] &= ~REMOTE_IRR;
          if (localLines[entry - LINT0]) {
            deliverLocal(entry);
          }
        }
      }
    }
    signalIfPending();
  }

  @Override
  public int taskPriority() {
    return taskPriority >>> 4;
  }

  @Override
  public void setTaskPriority(int priority) {
    taskPriority = (priority & 15) << 4;
    signalIfPending();
  }

  @Override
  public long tscDeadline() {
    return timer.tscDeadline();
  }

  @Override
  public void setTscDeadline(long ticks) {
    timer.setTscDeadline(ticks);
  }

  @Override
  public void timeStampCounterChanged() {
    if (timer.isTscDeadlineArmed()) {
      timer.rearmDeadline();
    }
  }

  // --- registers ---

  /** Reads a register of the xAPIC page. */
  long readPage(long offset, int bytes) {
    int register = (int) offset & 0xff0;
    int shift = (int) (offset & 15) * 8;
    // Only the first 4 bytes of each 16 are defined (SDM section 11.4.1).
    return shift >= 32 ? 0 : (readRegister(register) & 0xffff_ffffL) >>> shift;
  }

  /** Writes a register of the xAPIC page. */
  void writePage(long offset, int bytes, long value) {
    // "All 32-bit registers should be accessed using 128-bit aligned 32-bit loads or stores";
    // others do nothing here.
    if ((offset & 15) == 0 && bytes >= 4) {
      int register = (int) offset & 0xff0;
      if (register == COMMAND_HIGH) {
        commandHigh = (int) value & 0xff00_0000;
      } else if (register == LOGICAL_DESTINATION) {
        logicalDestination = (int) value & 0xff00_0000;
      } else if (register == DESTINATION_FORMAT) {
        destinationFormat = (int) value | 0x0fff_ffff;
      } else if (register == SELF_INTERRUPT) {
        detectError(ILLEGAL_REGISTER);
      } else {
        writeRegister(register, (int) value);
      }
    }
  }

  private int readRegister(int register) {
    if (register >= IN_SERVICE && register < ERROR_STATUS) {
      int index = register >>> 4 & 7;
      return switch (register & 0x380) {
        case IN_SERVICE -> inService[index];
        case TRIGGER_MODE -> triggerMode[index];
        default -> requests[index];
      };
    }
    if (register >= LOCAL_VECTORS && register < INITIAL_COUNT) {
      return localVectors[register - LOCAL_VECTORS >>> 4];
    }
    return switch (register) {
      case ID -> isX2Apic() ? id : id << 24;
      case VERSION -> VERSION_VALUE;
      case TASK_PRIORITY -> taskPriority;
      // Arbitration ended with the three-wire APIC bus; the register reads as the processor
      // priority.
      case ARBITRATION_PRIORITY, PROCESSOR_PRIORITY -> processorPriority();
      case END_OF_INTERRUPT -> 0;
      case LOGICAL_DESTINATION -> logicalDestination;
      case DESTINATION_FORMAT -> destinationFormat;
      case SPURIOUS_VECTOR -> spuriousVector;
      case ERROR_STATUS -> errorStatus;
      case COMMAND_LOW -> commandLow;
      case COMMAND_HIGH -> commandHigh;
      case INITIAL_COUNT -> timer.initialCount();
      case CURRENT_COUNT -> timer.currentCount();
      case DIVIDE_CONFIGURATION -> timer.divideConfiguration();
      default -> {
        detectError(ILLEGAL_REGISTER);
        yield 0;
      }
    };
  }

  private void writeRegister(int register, int value) {
    if (register >= LOCAL_VECTORS && register < INITIAL_COUNT) {
      writeLocalVector(register - LOCAL_VECTORS >>> 4, value);
      return;
    }
    switch (register) {
      case TASK_PRIORITY -> {
        taskPriority = value & 0xff;
        signalIfPending();
      }
      case END_OF_INTERRUPT -> endOfInterrupt();
      case SPURIOUS_VECTOR -> {
        spuriousVector = value & 0x3ff;
        if ((value & SOFTWARE_ENABLE) == 0) {
          for (int i = 0; i < localVectors.length; i++) {
            localVectors[i] |= MASKED;
          }
        }
      }
      case ERROR_STATUS -> {
        errorStatus = errorsDetected;
        errorsDetected = 0;
      }
      case COMMAND_LOW -> {
        commandLow = value & COMMAND_BITS;
        sendCommand();
      }
      case INITIAL_COUNT -> timer.setInitialCount(value);
      case DIVIDE_CONFIGURATION -> timer.setDivideConfiguration(value);
      case ID, VERSION, ARBITRATION_PRIORITY, PROCESSOR_PRIORITY, CURRENT_COUNT -> {
        // Read-only; the identifier too, as on processors that support x2APIC.
      }
      default -> detectError(ILLEGAL_REGISTER);
    }
  }

  private void writeLocalVector(int entry, int value) {
    int next = value & LOCAL_VECTOR_BITS[entry] | localVectors[entry] & REMOTE_IRR;
    if ((next & LEVEL_TRIGGERED) == 0) {
      next &= ~REMOTE_IRR;
    }
    if (!isSoftwareEnabled()) {
      next |= MASKED;
    }
    localVectors[entry] = next;
    if (entry == TIMER) {
      timer.setMode(next);
    } else if ((entry == LINT0 || entry == LINT1) && localLines[entry - LINT0]) {
      DeliveryMode mode = DeliveryMode.ofRegister(next);
      if (mode == DeliveryMode.EXTERNAL
          || mode == DeliveryMode.FIXED && (next & LEVEL_TRIGGERED) != 0) {
        deliverLocal(entry);
      }
    }
  }

  /** Sends what the interrupt command register says (SDM section 11.6.1). */
  private void sendCommand() {
    DeliveryMode mode = DeliveryMode.ofRegister(commandLow);
    int vector = commandLow & 0xff;
    boolean level = (commandLow & LEVEL_TRIGGERED) != 0;
    boolean assertion = (commandLow & 1 << 14) != 0;
    if (mode == DeliveryMode.INIT && level && !assertion) {
      // INIT level de-assert resets arbitration identifiers, which Pentium 4 and later do not have.
      return;
    }
    if ((mode == DeliveryMode.FIXED || mode == DeliveryMode.LOWEST_PRIORITY) && vector < 16) {
      detectError(SEND_ILLEGAL_VECTOR);
      return;
    }
    boolean logical = (commandLow & 1 << 11) != 0;
    int destination = isX2Apic() ? commandHigh : commandHigh >>> 24;
    // Interrupts between processors are edge-triggered whatever the trigger mode bit says.
    InterruptMessage message =
        new InterruptMessage(destination, logical, isX2Apic(), mode, vector, false);
    switch (commandLow >>> 18 & 3) {
      case 0 -> {
        boolean unused = bus.send(message);
      }
      case 1 -> {
        // Only fixed interrupts can be sent to oneself (SDM table 11-3).
        if (mode == DeliveryMode.FIXED) {
          boolean unused = accept(message);
        }
      }
      case 2 -> bus.sendToAll(message, null);
      default -> bus.sendToAll(message, this);
    }
  }

  // --- x2APIC ---

  @Override
  public long readX2Apic(int msr) throws InvalidRegisterException {
    int register = x2ApicRegister(msr);
    if (register == COMMAND_LOW) {
      return (long) commandHigh << 32 | commandLow & 0xffff_ffffL;
    }
    if (register == END_OF_INTERRUPT || register == SELF_INTERRUPT) {
      throw new InvalidRegisterException("x2APIC: MSR %x is write-only".formatted(msr));
    }
    return readRegister(register) & 0xffff_ffffL;
  }

  @Override
  public void writeX2Apic(int msr, long value) throws InvalidRegisterException {
    int register = x2ApicRegister(msr);
    long writable = x2ApicWritableBits(register);
    if (writable == 0 && register != END_OF_INTERRUPT && register != ERROR_STATUS) {
      throw new InvalidRegisterException("x2APIC: MSR %x is read-only".formatted(msr));
    }
    if ((value & ~writable) != 0) {
      throw new InvalidRegisterException(
          "x2APIC: MSR %x: reserved bits in %x".formatted(msr, value));
    }
    if (register == COMMAND_LOW) {
      commandHigh = (int) (value >>> 32);
      writeRegister(COMMAND_LOW, (int) value);
    } else if (register == SELF_INTERRUPT) {
      if (value < 16) {
        detectError(SEND_ILLEGAL_VECTOR);
      } else {
        boolean unused = request((int) value, false);
      }
    } else {
      writeRegister(register, (int) value);
    }
  }

  /** Offset of the register behind an MSR; throws if x2APIC mode is off or no register is there. */
  private int x2ApicRegister(int msr) throws InvalidRegisterException {
    int register = (msr & 0xff) << 4;
    boolean exists =
        switch (register) {
          case ID,
              VERSION,
              TASK_PRIORITY,
              PROCESSOR_PRIORITY,
              END_OF_INTERRUPT,
              LOGICAL_DESTINATION ->
              true;
          case SPURIOUS_VECTOR, ERROR_STATUS, COMMAND_LOW, SELF_INTERRUPT -> true;
          case INITIAL_COUNT, CURRENT_COUNT, DIVIDE_CONFIGURATION -> true;
          default ->
              register >= IN_SERVICE && register < ERROR_STATUS
                  || register >= LOCAL_VECTORS && register < INITIAL_COUNT;
        };
    if (!isX2Apic() || !exists) {
      throw new InvalidRegisterException("x2APIC: no register at MSR %x".formatted(msr));
    }
    return register;
  }

  private static long x2ApicWritableBits(int register) {
    if (register >= LOCAL_VECTORS && register < INITIAL_COUNT) {
      // Status bits are not reserved: writing back what was read is allowed.
      return LOCAL_VECTOR_BITS[register - LOCAL_VECTORS >>> 4] | DELIVERY_STATUS | REMOTE_IRR;
    }
    return switch (register) {
      case TASK_PRIORITY, SELF_INTERRUPT -> 0xff;
      case SPURIOUS_VECTOR -> 0x3ff;
      case COMMAND_LOW -> 0xffff_ffff_0000_0000L | COMMAND_BITS | DELIVERY_STATUS;
      case INITIAL_COUNT -> 0xffff_ffffL;
      case DIVIDE_CONFIGURATION -> 0b1011;
      default -> 0;
    };
  }

  // --- snapshot ---

  @Override
  public String stateName() {
    return "local-apic-" + id;
  }

  @Override
  public void save(StateWriter out) {
    out.writeLong(base);
    out.writeInts(inService);
    out.writeInts(triggerMode);
    out.writeInts(requests);
    out.writeInts(localVectors);
    for (boolean line : localLines) {
      out.writeBoolean(line);
    }
    out.writeInt(taskPriority);
    out.writeInt(logicalDestination);
    out.writeInt(destinationFormat);
    out.writeInt(spuriousVector);
    out.writeInt(errorStatus);
    out.writeInt(errorsDetected);
    out.writeInt(commandLow);
    out.writeInt(commandHigh);
    out.writeBoolean(externalRequested);
    timer.save(out);
  }

  @Override
  public void restore(StateReader in) {
    base = in.readLong();
    baseListener.run();
    in.readInts(inService);
    in.readInts(triggerMode);
    in.readInts(requests);
    in.readInts(localVectors);
    for (int i = 0; i < localLines.length; i++) {
      localLines[i] = in.readBoolean();
    }
    taskPriority = in.readInt();
    logicalDestination = in.readInt();
    destinationFormat = in.readInt();
    spuriousVector = in.readInt();
    errorStatus = in.readInt();
    errorsDetected = in.readInt();
    commandLow = in.readInt();
    commandHigh = in.readInt();
    externalRequested = in.readBoolean();
    timer.restore(in);
    signalIfPending();
  }
}
