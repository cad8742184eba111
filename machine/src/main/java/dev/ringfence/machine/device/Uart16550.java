package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.ConsoleOutput;
import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.ArrayDeque;
import java.util.Arrays;

/**
 * Serial port with FIFOs (National Semiconductor PC16550D data sheet).
 *
 * <pre>
 *  0  RBR read, THR write; DLL if LCR bit 7     4  MCR
 *  1  IER; DLM if LCR bit 7                     5  LSR
 *  2  IIR read, FCR write                       6  MSR
 *  3  LCR                                       7  SCR
 * </pre>
 *
 * <p>A byte is transmitted at once, whatever the divisor says, and input waits outside until the
 * receiver has room, so there is no overrun. The character timeout interrupt comes without delay
 * when bytes below the trigger level wait and no more arrive.
 */
final class Uart16550 implements IoRegion, Stateful {
  /** Number of ports. */
  static final int PORTS = 8;

  private static final int FIFO_SIZE = 16;

  private static final int RECEIVE_TRANSMIT = 0;
  private static final int INTERRUPT_ENABLE = 1;
  private static final int IDENTIFICATION_FIFO_CONTROL = 2;
  private static final int LINE_CONTROL = 3;
  private static final int MODEM_CONTROL = 4;
  private static final int LINE_STATUS = 5;
  private static final int MODEM_STATUS = 6;
  private static final int SCRATCH = 7;

  private static final int IER_RECEIVED = 1;
  private static final int IER_TRANSMITTER_EMPTY = 2;
  private static final int IER_MODEM_STATUS = 8;

  private static final int LCR_DIVISOR_LATCH = 0x80;
  private static final int MCR_OUT2 = 8;
  private static final int MCR_LOOP = 0x10;
  private static final int LSR_DATA_READY = 1;
  private static final int LSR_OVERRUN = 2;
  private static final int LSR_TRANSMITTER_EMPTY = 0x60;

  /** CTS, DSR and DCD: a terminal is always connected and ready. */
  private static final int MSR_CONNECTED = 0xb0;

  private static final int[] TRIGGER_LEVELS = {1, 4, 8, 14};

  private final String name;
  private final InterruptLine interrupt;
  private final ConsoleOutput output;

  /** Input that the receiver has not taken yet. */
  private final ArrayDeque<Byte> waiting = new ArrayDeque<>();

  private final int[] fifo = new int[FIFO_SIZE];
  private int fifoHead;
  private int fifoCount;
  private int divisor = 12;
  private int interruptEnable;
  private int fifoControl;
  private int lineControl;
  private int modemControl;
  private int modemDelta;
  private int scratch;
  private boolean overrun;
  private boolean transmitterInterrupt;

  /**
   * Creates a port.
   *
   * @param name of the section in a snapshot
   */
  Uart16550(String name, InterruptLine interrupt, ConsoleOutput output) {
    this.name = name;
    this.interrupt = interrupt;
    this.output = output;
  }

  /** Offers bytes to the receiver. */
  void receive(byte[] bytes) {
    for (byte value : bytes) {
      waiting.add(value);
    }
    fill();
    update();
  }

  private boolean fifoEnabled() {
    return (fifoControl & 1) != 0;
  }

  private boolean looping() {
    return (modemControl & MCR_LOOP) != 0;
  }

  private void fill() {
    int capacity = fifoEnabled() ? FIFO_SIZE : 1;
    while (!looping() && fifoCount < capacity && !waiting.isEmpty()) {
      push(waiting.remove() & 0xff);
    }
  }

  private void push(int value) {
    fifo[(fifoHead + fifoCount) % FIFO_SIZE] = value;
    fifoCount++;
  }

  private int pop() {
    if (fifoCount == 0) {
      return 0;
    }
    int value = fifo[fifoHead];
    fifoHead = (fifoHead + 1) % FIFO_SIZE;
    fifoCount--;
    return value;
  }

  /**
   * IIR without the FIFO bits: the most important interrupt, or 1 for none (data sheet table II).
   */
  private int pendingInterrupt() {
    if (overrun && (interruptEnable & 4) != 0) {
      return 6;
    }
    if (fifoCount > 0 && (interruptEnable & IER_RECEIVED) != 0) {
      boolean reached = !fifoEnabled() || fifoCount >= TRIGGER_LEVELS[fifoControl >>> 6];
      return reached ? 4 : 12;
    }
    if (transmitterInterrupt && (interruptEnable & IER_TRANSMITTER_EMPTY) != 0) {
      return 2;
    }
    if (modemDelta != 0 && (interruptEnable & IER_MODEM_STATUS) != 0) {
      return 0;
    }
    return 1;
  }

  private void update() {
    // On a PC the interrupt passes a gate that OUT2 opens; loopback disconnects the modem outputs.
    boolean gate = (modemControl & MCR_OUT2) != 0 && !looping();
    interrupt.set(gate && pendingInterrupt() != 1);
  }

  /** Modem status without the deltas; in loopback the four outputs come back as inputs. */
  private int modemInputs() {
    if (!looping()) {
      return MSR_CONNECTED;
    }
    return (modemControl & 1) << 5
        | (modemControl & 2) << 3
        | (modemControl & 4) << 4
        | (modemControl & 8) << 4;
  }

  @Override
  public long read(long offset, int bytes) {
    return readRegister((int) offset);
  }

  private int readRegister(int register) {
    boolean latch = (lineControl & LCR_DIVISOR_LATCH) != 0;
    int value;
    switch (register) {
      case RECEIVE_TRANSMIT -> {
        if (latch) {
          return divisor & 0xff;
        }
        value = pop();
        fill();
      }
      case INTERRUPT_ENABLE -> {
        return latch ? divisor >>> 8 : interruptEnable;
      }
      case IDENTIFICATION_FIFO_CONTROL -> {
        int pending = pendingInterrupt();
        if (pending == 2) {
          transmitterInterrupt = false;
        }
        value = pending | (fifoEnabled() ? 0xc0 : 0);
      }
      case LINE_CONTROL -> {
        return lineControl;
      }
      case MODEM_CONTROL -> {
        return modemControl;
      }
      case LINE_STATUS -> {
        value =
            LSR_TRANSMITTER_EMPTY
                | (fifoCount > 0 ? LSR_DATA_READY : 0)
                | (overrun ? LSR_OVERRUN : 0);
        overrun = false;
      }
      case MODEM_STATUS -> {
        value = modemInputs() | modemDelta;
        modemDelta = 0;
      }
      default -> {
        return scratch;
      }
    }
    update();
    return value;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    writeRegister((int) offset, (int) value & 0xff);
  }

  private void writeRegister(int register, int value) {
    boolean latch = (lineControl & LCR_DIVISOR_LATCH) != 0;
    switch (register) {
      case RECEIVE_TRANSMIT -> {
        if (latch) {
          divisor = divisor & 0xff00 | value;
        } else {
          transmit(value);
        }
      }
      case INTERRUPT_ENABLE -> {
        if (latch) {
          divisor = divisor & 0xff | value << 8;
        } else {
          // Enabling the transmitter interrupt while the transmitter is empty raises it.
          if ((value & ~interruptEnable & IER_TRANSMITTER_EMPTY) != 0) {
            transmitterInterrupt = true;
          }
          interruptEnable = value & 15;
        }
      }
      case IDENTIFICATION_FIFO_CONTROL -> {
        // A change of the FIFO mode clears the FIFOs, and so does bit 1.
        if (((value ^ fifoControl) & 1) != 0 || (value & 3) == 3) {
          fifoCount = 0;
        }
        // Other bits count only while bit 0 is set.
        fifoControl = (value & 1) != 0 ? value & 0xc9 : 0;
        fill();
      }
      case LINE_CONTROL -> lineControl = value;
      case MODEM_CONTROL -> {
        int before = modemInputs();
        modemControl = value & 0x1f;
        int changed = before ^ modemInputs();
        // Bits 0, 1, 3: CTS, DSR, DCD changed; bit 2: the ring indicator fell.
        modemDelta |= changed >>> 4 & 0b1011 | (changed & before & 0x40) >>> 4;
        fill();
      }
      case LINE_STATUS, MODEM_STATUS -> {
        // Writing is for factory tests (data sheet section 8.4).
      }
      case SCRATCH -> scratch = value;
      default -> throw new AssertionError("register " + register);
    }
    update();
  }

  private void transmit(int value) {
    if (looping()) {
      if (fifoCount == (fifoEnabled() ? FIFO_SIZE : 1)) {
        overrun = true;
        if (!fifoEnabled()) {
          fifo[fifoHead] = value;
        }
      } else {
        push(value);
      }
    } else {
      output.write(value);
    }
    transmitterInterrupt = true;
  }

  @Override
  public String stateName() {
    return name;
  }

  @Override
  public void save(StateWriter out) {
    byte[] input = new byte[waiting.size()];
    int at = 0;
    for (byte value : waiting) {
      input[at++] = value;
    }
    out.writeInt(input.length);
    out.writeBytes(input);
    out.writeInts(fifo);
    out.writeInt(fifoHead);
    out.writeInt(fifoCount);
    out.writeInt(divisor);
    out.writeInt(interruptEnable);
    out.writeInt(fifoControl);
    out.writeInt(lineControl);
    out.writeInt(modemControl);
    out.writeInt(modemDelta);
    out.writeInt(scratch);
    out.writeBoolean(overrun);
    out.writeBoolean(transmitterInterrupt);
  }

  @Override
  public void restore(StateReader in) {
    waiting.clear();
    for (byte value : in.readBytes(in.readInt("bytes of waiting input", 0, 1 << 24))) {
      waiting.add(value);
    }
    in.readInts(fifo);
    fifoHead = in.readInt("FIFO head", 0, FIFO_SIZE - 1);
    fifoCount = in.readInt("FIFO count", 0, FIFO_SIZE);
    divisor = in.readInt("divisor", 0, 0xffff);
    interruptEnable = in.readInt("interrupt enable", 0, 15);
    fifoControl = in.readInt("FIFO control", 0, 255);
    lineControl = in.readInt("line control", 0, 255);
    modemControl = in.readInt("modem control", 0, 31);
    modemDelta = in.readInt("modem status changes", 0, 15);
    scratch = in.readInt("scratch", 0, 255);
    overrun = in.readBoolean();
    transmitterInterrupt = in.readBoolean();
    Arrays.setAll(fifo, i -> fifo[i] & 0xff);
  }
}
