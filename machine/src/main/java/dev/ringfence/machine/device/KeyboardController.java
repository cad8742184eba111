package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * Keyboard controller without a keyboard (IBM PS/2 hardware reference, "Keyboard and auxiliary
 * device controller"): its self-tests pass, its commands answer, what is sent to a device times
 * out. It is here for the reset line that hangs on its output port.
 *
 * <pre>
 *  60  data
 *  64  read status: 0 output full, 1 input full, 2 system flag, 3 last write was a command, 6 time-out
 *      write command
 *  92  system control port A: 0 reset, 1 gate of address line 20 (always open)
 * </pre>
 */
final class KeyboardController implements Stateful {
  private static final int OUTPUT_FULL = 1;
  private static final int SYSTEM_FLAG = 4;
  private static final int COMMAND = 8;
  private static final int TIME_OUT = 0x40;

  private static final int READ_CONFIGURATION = 0x20;
  private static final int WRITE_CONFIGURATION = 0x60;
  private static final int TEST_AUXILIARY = 0xa9;
  private static final int SELF_TEST = 0xaa;
  private static final int TEST_KEYBOARD = 0xab;
  private static final int READ_OUTPUT_PORT = 0xd0;
  private static final int WRITE_OUTPUT_PORT = 0xd1;
  private static final int WRITE_KEYBOARD_OUTPUT = 0xd2;
  private static final int WRITE_AUXILIARY_OUTPUT = 0xd3;
  private static final int WRITE_AUXILIARY = 0xd4;

  private final MachineControl machine;
  // The state that firmware leaves: self-test passed, keyboard clock off.
  private int status = SYSTEM_FLAG;
  private int output;
  private int configuration = 0x14;
  private int outputPort = 3;
  private int command;
  private int controlA = 2;

  KeyboardController(MachineControl machine) {
    this.machine = machine;
  }

  /** Attaches the registers to the port space. */
  void attachTo(IoSpace ports) {
    ports.attach("keyboard controller data", 0x60, 1, new Data());
    ports.attach("keyboard controller", 0x64, 1, new Command());
    ports.attach("system control port A", 0x92, 1, new SystemControlPortA());
  }

  private void answer(int value) {
    output = value;
    status |= OUTPUT_FULL;
  }

  private final class Data implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      status &= ~(OUTPUT_FULL | TIME_OUT);
      return output;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      int data = (int) value & 0xff;
      status &= ~COMMAND;
      switch (command) {
        case WRITE_CONFIGURATION -> configuration = data;
        case WRITE_OUTPUT_PORT -> {
          outputPort = data;
          if ((data & 1) == 0) {
            machine.reset();
          }
        }
        case WRITE_KEYBOARD_OUTPUT, WRITE_AUXILIARY_OUTPUT -> answer(data);
        case WRITE_AUXILIARY, 0 -> {
          // No device takes the byte: "transmit time-out" with FEH in the output buffer.
          answer(0xfe);
          status |= TIME_OUT;
        }
        default -> {
          // The command took no data.
        }
      }
      command = 0;
    }
  }

  private final class Command implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return status;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      int code = (int) value & 0xff;
      status |= COMMAND;
      command = 0;
      switch (code) {
        case READ_CONFIGURATION -> answer(configuration);
        case SELF_TEST -> answer(0x55);
        case TEST_KEYBOARD, TEST_AUXILIARY -> answer(0);
        case READ_OUTPUT_PORT -> answer(outputPort);
        case WRITE_CONFIGURATION,
            WRITE_OUTPUT_PORT,
            WRITE_KEYBOARD_OUTPUT,
            WRITE_AUXILIARY_OUTPUT,
            WRITE_AUXILIARY ->
            command = code;
        default -> {
          // F0H to FFH pulse the low bits of the output port that are 0 in the command; bit 0 is
          // reset.
          if (code >= 0xf0 && (code & 1) == 0) {
            machine.reset();
          }
        }
      }
    }
  }

  private final class SystemControlPortA implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return controlA;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      boolean reset = (value & ~controlA & 1) != 0;
      controlA = (int) value & 0xff;
      if (reset) {
        machine.reset();
      }
    }
  }

  @Override
  public String stateName() {
    return "keyboard-controller";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(status);
    out.writeInt(output);
    out.writeInt(configuration);
    out.writeInt(outputPort);
    out.writeInt(command);
    out.writeInt(controlA);
  }

  @Override
  public void restore(StateReader in) {
    status = in.readInt("status", 0, 255);
    output = in.readInt("output", 0, 255);
    configuration = in.readInt("configuration", 0, 255);
    outputPort = in.readInt("output port", 0, 255);
    command = in.readInt("command", 0, 255);
    controlA = in.readInt("system control port A", 0, 255);
  }
}
