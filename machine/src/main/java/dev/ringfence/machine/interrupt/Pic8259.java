package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.memory.ByteWideRegion;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * The pair of 8259A interrupt controllers of a PC (Intel 8259A data sheet), the second cascaded to
 * input 2 of the first, with the edge/level control registers of later chip sets (82371 data
 * sheets).
 *
 * <pre>
 *  20 / A0  write ICW1 (bit 4), OCW2 (bits 4,3 = 00), OCW3 (bits 4,3 = 01); read IRR, ISR or the poll byte
 *  21 / A1  write ICW2, ICW3, ICW4 after ICW1, otherwise OCW1 (mask); read mask
 *  4D0, 4D1 ELCR: a set bit makes the input level-sensitive
 * </pre>
 *
 * <p>An edge is remembered until it is acknowledged even if the line falls before; the real part
 * would deliver the spurious interrupt 7 then, which no software wants.
 */
public final class Pic8259 implements ExternalInterrupts, Stateful {
  private static final int CASCADE = 2;

  /** One controller of the pair. */
  private static final class Chip implements IoRegion {
    private final Pic8259 pair;
    private final boolean master;
    private final int levelSelectable;
    private int lines;
    private int requests;
    private int mask;
    private int inService;
    private int levelSensitive;
    private int vectorBase;
    private int lowestPriority;
    private int initializationStep;
    private boolean expectsIcw4;
    private boolean single;
    private boolean autoEnd;
    private boolean rotateOnAutoEnd;
    private boolean specialMask;
    private boolean specialFullyNested;
    private boolean poll;
    private boolean readInService;

    Chip(Pic8259 pair, boolean master) {
      this.pair = pair;
      this.master = master;
      // Timer, keyboard, cascade, RTC and floating-point error are edges for ever.
      this.levelSelectable = master ? 0xf8 : 0xde;
      initialize(0);
    }

    private void initialize(int icw1) {
      mask = 0;
      inService = 0;
      requests &= levelSensitive;
      lowestPriority = 7;
      expectsIcw4 = (icw1 & 1) != 0;
      single = (icw1 & 2) != 0;
      autoEnd = false;
      rotateOnAutoEnd = false;
      specialMask = false;
      specialFullyNested = false;
      poll = false;
      readInService = false;
    }

    void setLine(int input, boolean asserted) {
      int bit = 1 << input;
      if (asserted) {
        if ((lines & bit) == 0 || (levelSensitive & bit) != 0) {
          requests |= bit;
        }
        lines |= bit;
      } else {
        if ((levelSensitive & bit) != 0) {
          requests &= ~bit;
        }
        lines &= ~bit;
      }
    }

    /** Priority of the most important bit, 0 the highest, or 8 if none is set. */
    private int priorityOf(int bits) {
      for (int priority = 0; priority < 8; priority++) {
        if ((bits & 1 << inputAt(priority)) != 0) {
          return priority;
        }
      }
      return 8;
    }

    private int inputAt(int priority) {
      return lowestPriority + 1 + priority & 7;
    }

    /** The input whose interrupt the controller requests, or -1. */
    int requested() {
      int pending = priorityOf(requests & ~mask);
      if (pending == 8) {
        return -1;
      }
      int served = inService;
      if (specialMask) {
        served &= ~mask;
      }
      if (specialFullyNested && master) {
        served &= ~(1 << CASCADE);
      }
      return pending < priorityOf(served) ? inputAt(pending) : -1;
    }

    void acknowledge(int input) {
      int bit = 1 << input;
      if ((levelSensitive & bit) == 0) {
        requests &= ~bit;
      }
      if (!autoEnd) {
        inService |= bit;
      } else if (rotateOnAutoEnd) {
        lowestPriority = input;
      }
    }

    @Override
    public long read(long offset, int bytes) {
      if (poll) {
        poll = false;
        int input = requested();
        if (input >= 0) {
          acknowledge(input);
          pair.update();
          return 0x80 | input;
        }
        return 0;
      }
      if (offset == 1) {
        return mask;
      }
      return readInService ? inService : requests;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      int data = (int) value & 0xff;
      if (offset == 1) {
        writeData(data);
      } else if ((data & 0x10) != 0) {
        initialize(data);
        initializationStep = 2;
      } else if ((data & 0x08) != 0) {
        writeOcw3(data);
      } else {
        writeOcw2(data);
      }
      pair.update();
    }

    private void writeData(int data) {
      switch (initializationStep) {
        case 2 -> {
          vectorBase = data & 0xf8;
          initializationStep = single ? expectsIcw4 ? 4 : 0 : 3;
        }
        // ICW3 tells how the pair is cascaded, which the board fixes.
        case 3 -> initializationStep = expectsIcw4 ? 4 : 0;
        case 4 -> {
          autoEnd = (data & 2) != 0;
          specialFullyNested = (data & 0x10) != 0;
          initializationStep = 0;
        }
        default -> mask = data;
      }
    }

    private void writeOcw3(int data) {
      poll = (data & 4) != 0;
      if ((data & 2) != 0) {
        readInService = (data & 1) != 0;
      }
      if ((data & 0x40) != 0) {
        specialMask = (data & 0x20) != 0;
      }
    }

    private void writeOcw2(int data) {
      int input = data & 7;
      switch (data >>> 5) {
        case 0 -> rotateOnAutoEnd = false;
        case 4 -> rotateOnAutoEnd = true;
        case 1, 5 -> {
          int priority = priorityOf(inService);
          if (priority < 8) {
            int ended = inputAt(priority);
            inService &= ~(1 << ended);
            if (data >>> 5 == 5) {
              lowestPriority = ended;
            }
          }
        }
        case 3 -> inService &= ~(1 << input);
        case 7 -> {
          inService &= ~(1 << input);
          lowestPriority = input;
        }
        case 6 -> lowestPriority = input;
        default -> {
          // 2: no operation.
        }
      }
    }

    void setLevelSensitive(int value) {
      levelSensitive = value & levelSelectable;
      requests = requests & ~levelSensitive | lines & levelSensitive;
    }

    void save(StateWriter out) {
      out.writeInt(lines);
      out.writeInt(requests);
      out.writeInt(mask);
      out.writeInt(inService);
      out.writeInt(levelSensitive);
      out.writeInt(vectorBase);
      out.writeInt(lowestPriority);
      out.writeInt(initializationStep);
      out.writeBoolean(expectsIcw4);
      out.writeBoolean(single);
      out.writeBoolean(autoEnd);
      out.writeBoolean(rotateOnAutoEnd);
      out.writeBoolean(specialMask);
      out.writeBoolean(specialFullyNested);
      out.writeBoolean(poll);
      out.writeBoolean(readInService);
    }

    void restore(StateReader in) {
      lines = in.readInt("lines", 0, 255);
      requests = in.readInt("requests", 0, 255);
      mask = in.readInt("mask", 0, 255);
      inService = in.readInt("in service", 0, 255);
      levelSensitive = in.readInt("level sensitive", 0, 255);
      vectorBase = in.readInt("vector base", 0, 255);
      lowestPriority = in.readInt("lowest priority", 0, 7);
      initializationStep = in.readInt("initialization step", 0, 4);
      expectsIcw4 = in.readBoolean();
      single = in.readBoolean();
      autoEnd = in.readBoolean();
      rotateOnAutoEnd = in.readBoolean();
      specialMask = in.readBoolean();
      specialFullyNested = in.readBoolean();
      poll = in.readBoolean();
      readInService = in.readBoolean();
    }
  }

  private final Chip first = new Chip(this, true);
  private final Chip second = new Chip(this, false);
  private InterruptLine output = asserted -> {};

  /** Attaches the registers to the port space. */
  public void attachTo(IoSpace ports) {
    ports.attach("PIC 1", 0x20, 2, new ByteWideRegion(first));
    ports.attach("PIC 2", 0xa0, 2, new ByteWideRegion(second));
    ports.attach("ELCR", 0x4d0, 2, new ByteWideRegion(new TriggerControl()));
  }

  /** The edge/level control registers. */
  private final class TriggerControl implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return chip(offset).levelSensitive;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      chip(offset).setLevelSensitive((int) value);
      update();
    }

    private Chip chip(long offset) {
      return offset == 0 ? first : second;
    }
  }

  /** Connects INTR: LINT0 of the local APICs. */
  public void connect(InterruptLine interruptRequest) {
    this.output = interruptRequest;
  }

  /** Drives an input, 0 to 15; input 2 belongs to the cascade and is ignored. */
  public void set(int input, boolean asserted) {
    if (input >= 8) {
      second.setLine(input - 8, asserted);
    } else if (input != CASCADE) {
      first.setLine(input, asserted);
    }
    update();
  }

  private void update() {
    // The cascade input follows the second controller, which may also withdraw its request.
    if (second.requested() >= 0) {
      first.requests |= 1 << CASCADE;
    } else {
      first.requests &= ~(1 << CASCADE);
    }
    output.set(isRequesting());
  }

  @Override
  public boolean isRequesting() {
    return first.requested() >= 0;
  }

  @Override
  public int acknowledge() {
    int vector;
    int input = first.requested();
    if (input < 0) {
      // Spurious interrupt: vector 7, not in service.
      vector = first.vectorBase + 7;
    } else if (input == CASCADE) {
      first.acknowledge(CASCADE);
      int secondInput = second.requested();
      if (secondInput < 0) {
        vector = second.vectorBase + 7;
      } else {
        second.acknowledge(secondInput);
        vector = second.vectorBase + secondInput;
      }
    } else {
      first.acknowledge(input);
      vector = first.vectorBase + input;
    }
    update();
    return vector;
  }

  @Override
  public String stateName() {
    return "pic";
  }

  @Override
  public void save(StateWriter out) {
    first.save(out);
    second.save(out);
  }

  @Override
  public void restore(StateReader in) {
    first.restore(in);
    second.restore(in);
  }
}
