package dev.ringfence.machine;

import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import dev.ringfence.machine.boot.InitialState;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorReset;
import dev.ringfence.machine.device.Platform;
import dev.ringfence.machine.device.PlatformConfiguration;
import dev.ringfence.machine.device.host.BlockBackend;
import dev.ringfence.machine.device.host.ImageFile;
import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.interpret.CodeCache;
import dev.ringfence.machine.interpret.ExecutionOutsideMemory;
import dev.ringfence.machine.interpret.Executor;
import dev.ringfence.machine.interpret.ProcessorLoop;
import dev.ringfence.machine.interrupt.LocalApic;
import dev.ringfence.machine.interrupt.TripleFault;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.probe.Probes;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import dev.ringfence.machine.translate.Translator;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * A PC. It runs on the thread that calls {@link #run}; only {@link #requestStop} may be called by
 * another.
 *
 * <p>Processors take turns on that thread: the one whose time is earliest runs until it is a
 * quantum ahead of the next, or a timer is due. A turn that a limit or a stop cuts short goes on
 * with the next {@link #run}. So turns depend on instruction counts alone, and runs repeat exactly,
 * whatever the steps that the host divides them into.
 */
public final class Machine implements AutoCloseable {
  /**
   * How far, in nanoseconds, one processor may run ahead of another. A short quantum makes waiting
   * for each other cheap, a long one makes switching rare.
   */
  private static final long QUANTUM = 2_000;

  /** Longest stretch without a look at requests of the host, in nanoseconds of virtual time. */
  private static final long LONGEST_TURN = 4_000_000;

  /** No turn was cut short. */
  static final long NO_TURN = -1;

  private final MachineConfiguration configuration;
  private final PhysicalMemory memory;
  private final IoSpace ports = new IoSpace("port");
  private final VirtualClock clock = new VirtualClock();
  private final CodeCache codeCache;
  private final Platform platform;
  private final List<Processor> processors = new ArrayList<>();
  private final List<ProcessorLoop> loops = new ArrayList<>();
  private final List<BlockBackend> disks = new ArrayList<>();
  private final Map<ConsolePort, IntConsumer> consoles = new EnumMap<>(ConsolePort.class);
  private final ConsoleHistory history = new ConsoleHistory();
  private final Probes probes;
  private final MachineState machineState = new MachineState(this);
  private int current;

  /**
   * When the turn of the current processor ends that was cut short; {@link #NO_TURN} if none was.
   */
  private long cutTurnEnd = NO_TURN;

  private @Nullable StopReason stopReason;
  private volatile boolean stopRequested;
  private LongConsumer idleListener = nanoseconds -> {};

  /** Builds the machine and switches it on; it has nothing to execute yet. */
  public Machine(MachineConfiguration configuration) {
    this.configuration = configuration;
    CpuModel model = CpuModel.load(configuration.cpuModel());
    for (Disk disk : configuration.disks()) {
      disks.add(
          ImageFile.open(
              disk.file(),
              disk.writable() ? ImageFile.Mode.WRITABLE : ImageFile.Mode.COPY_ON_WRITE));
    }
    memory = new PhysicalMemory(configuration.memoryBytes());
    codeCache = new CodeCache(memory, configuration.translation());
    probes = new Probes(processors, codeCache, memory);
    Frequency timeStampCounter = new Frequency(model.tscHertz());
    platform =
        new Platform(
            new PlatformConfiguration(
                configuration.processors(),
                model.physicalAddressBits(),
                new Frequency(model.crystalHertz()),
                configuration.startDate(),
                configuration.seed(),
                disks,
                value -> output(ConsolePort.COM1, value),
                value -> output(ConsolePort.COM2, value),
                value -> output(ConsolePort.VIRTIO_CONSOLE, value),
                configuration.debugExitPort()),
            memory,
            ports,
            clock,
            timeStampCounter,
            () -> current,
            new Control());
    for (int i = 0; i < configuration.processors(); i++) {
      Processor processor = new Processor(i, model, memory, ports, clock, timeStampCounter);
      LocalApic apic = platform.localApics().get(i);
      processor.connect(apic);
      apic.connect(processor, () -> processor.state().tscOffset);
      processor.setCount(configuration.processors());
      ProcessorReset.powerUp(processor);
      processor.state().randomState = configuration.seed() ^ (long) i << 56;
      processors.add(processor);
      loops.add(new ProcessorLoop(processor, codeCache, memory));
    }
  }

  private final class Control implements MachineControl {
    @Override
    public void powerOff() {
      stop(new StopReason.PowerOff());
    }

    @Override
    public void reset() {
      stop(new StopReason.Reset());
    }

    @Override
    public void exit(int status) {
      stop(new StopReason.DebugExit(status));
    }

    private void stop(StopReason reason) {
      stopReason = reason;
      processors.get(current).requestStop();
    }
  }

  public MachineConfiguration configuration() {
    return configuration;
  }

  /**
   * Places an image in memory and sets the first processor to its entry.
   *
   * @throws BadInputException if image, initrds and memory do not fit each other
   */
  public void load(BootImage image, String commandLine, List<BootFile> initrds) {
    InitialState initial = image.load(memory, platform.firmware(), commandLine, initrds);
    Processor first = processors.getFirst();
    initial.applyTo(first.state());
    first.memory().invalidateAll();
  }

  /**
   * Runs until the guest ends the run, a limit is reached or {@link #requestStop} was called.
   *
   * @throws GuestTroubleException if the guest cannot go on
   */
  public StopReason run(RunLimits limits) {
    try {
      return runProcessors(limits);
    } catch (TripleFault e) {
      throw new GuestTroubleException(report("triple fault: " + e.getMessage()));
    } catch (ExecutionOutsideMemory e) {
      throw new GuestTroubleException(report(e.getMessage()));
    }
  }

  private StopReason runProcessors(RunLimits limits) {
    while (true) {
      if (stopReason != null) {
        StopReason reason = stopReason;
        stopReason = null;
        processors.get(current).clearStopRequest();
        return reason;
      }
      if (stopRequested) {
        stopRequested = false;
        return new StopReason.Requested();
      }
      long left = limits.instructions() - instructions();
      if (left <= 0) {
        return new StopReason.InstructionLimit();
      }
      // Whoever was woken in a turn that was cut short starts at its end, as without the cut.
      int next = cutTurnEnd == NO_TURN ? earliest() : current;
      long deadline = clock.nextDeadline();
      if (next < 0) {
        if (Math.min(deadline, limits.nanoseconds()) == VirtualClock.NEVER) {
          throw new GuestTroubleException(
              report("all processors are halted and no timer is armed: nothing can wake them"));
        }
        if (limits.nanoseconds() < deadline) {
          clock.setNow(limits.nanoseconds());
          return new StopReason.TimeLimit();
        }
        sleepUntil(deadline);
        continue;
      }
      Processor processor = processors.get(next);
      if (processor.time() >= limits.nanoseconds()) {
        // The last timer may have left the clock behind the processors, and so behind the limit.
        clock.setNow(processor.time());
        return new StopReason.TimeLimit();
      }
      if (deadline <= processor.time()) {
        cutTurnEnd = NO_TURN;
        clock.setNow(deadline);
        clock.expire();
        continue;
      }
      long end = cutTurnEnd == NO_TURN ? turnEnd(next) : cutTurnEnd;
      current = next;
      runTurn(
          next, end, processor.time() + Math.min(limits.nanoseconds() - processor.time(), left));
    }
  }

  /** Runs a processor to the end of its turn, or to a limit, and notes if that cuts the turn. */
  private void runTurn(int index, long end, long limit) {
    Processor processor = processors.get(index);
    loops.get(index).run(Math.min(end, limit));
    clock.setNow(processor.time());
    boolean over =
        processor.idle() || processor.time() >= end || processor.time() >= clock.nextDeadline();
    cutTurnEnd = over ? NO_TURN : end;
  }

  /** All processors are idle: time jumps to the next timer. */
  private void sleepUntil(long deadline) {
    long idle = Math.max(0, deadline - clock.now());
    if (idle > 0) {
      idleListener.accept(idle);
    }
    if (!stopRequested) {
      clock.setNow(deadline);
      clock.expire();
    }
  }

  /**
   * The active processor whose time is earliest, or -1. One that has just been woken starts now.
   */
  private int earliest() {
    int earliest = -1;
    for (int i = 0; i < processors.size(); i++) {
      Processor processor = processors.get(i);
      if (processor.idle()) {
        continue;
      }
      processor.wake(clock.now());
      if (earliest < 0 || processor.time() < processors.get(earliest).time()) {
        earliest = i;
      }
    }
    return earliest;
  }

  private long turnEnd(int running) {
    long end = processors.get(running).time() + LONGEST_TURN;
    for (int i = 0; i < processors.size(); i++) {
      Processor other = processors.get(i);
      if (i != running && !other.state().waitsForStartup) {
        end =
            Math.min(
                end,
                Math.max(other.idle() ? 0 : other.time(), processors.get(running).time())
                    + QUANTUM);
      }
    }
    return end;
  }

  /** Makes {@link #run} return at an instruction boundary soon. */
  public void requestStop() {
    stopRequested = true;
  }

  /**
   * Makes {@link #run} return right after the instruction that is being executed. For sinks of
   * {@link #connect}: what a guest writes is at an exact instruction, and so is the stop.
   */
  public void stopAfterInstruction() {
    stopReason = new StopReason.Requested();
    processors.get(current).requestStop();
  }

  /**
   * Sets who is told that all processors are idle, before time jumps ahead by the given
   * nanoseconds. Someone at a console lets real time pass there; the guest sees no difference. The
   * listener may call {@link #requestStop}, and time then does not jump.
   */
  public void setIdleListener(LongConsumer listener) {
    idleListener = listener;
  }

  /** Instructions that all processors have executed since power-on. */
  public long instructions() {
    long sum = 0;
    for (Processor processor : processors) {
      sum += processor.instructions();
    }
    return sum;
  }

  /** Virtual time since power-on. */
  public long nanoseconds() {
    return clock.now();
  }

  public List<Processor> processors() {
    return List.copyOf(processors);
  }

  /** The processor whose turn it is. Another thread may see an earlier one. */
  public Processor currentProcessor() {
    return processors.get(current);
  }

  /**
   * Has a listener told from now on where each processor is, every so many instructions. The guest
   * cannot tell.
   *
   * @param instructions of one processor between two calls
   * @param listener who is told, or null for nobody
   */
  public void setInstructionListener(
      long instructions, ProcessorLoop.@Nullable InstructionListener listener) {
    loops.forEach(loop -> loop.setInstructionListener(instructions, listener));
  }

  /**
   * Has all processors execute by other executors from their next instruction on, or by the
   * machine's own again. The machine must not be running.
   *
   * @param factory makes one for each processor, or null for the machine's own
   */
  public void setExecutor(Executor.@Nullable Factory factory) {
    loops.forEach(loop -> loop.setExecutor(factory));
  }

  /** What has been translated to bytecode, for all processors. */
  public Translator.Counts translationCounts() {
    Translator.Counts sum = Translator.Counts.NONE;
    for (ProcessorLoop loop : loops) {
      sum = sum.plus(loop.translationCounts());
    }
    return sum;
  }

  /**
   * How often all decoded and translated code was dropped because there was too much of it, or
   * because the JVM had no room for more.
   */
  public long codeOverflows() {
    return codeCache.overflows();
  }

  /** How often code that was executed a few times only was dropped because there was too much. */
  public long coldCodeDrops() {
    return codeCache.coldDrops();
  }

  public PhysicalMemory memory() {
    return memory;
  }

  /** Where observers attach. */
  public Probes probes() {
    return probes;
  }

  VirtualClock clock() {
    return clock;
  }

  /**
   * Sends what the guest writes to a port, byte by byte, to a sink. The sink is called in the
   * middle of an instruction; it may call {@link #requestStop}.
   */
  public void connect(ConsolePort port, IntConsumer output) {
    consoles.put(port, output);
  }

  private void output(ConsolePort port, int value) {
    if (port == ConsolePort.COM1) {
      history.add(value);
    }
    IntConsumer sink = consoles.get(port);
    if (sink != null) {
      sink.accept(value);
    }
  }

  /**
   * Offers bytes to the guest. The machine must not be running; that makes the point of the input,
   * and with it the run, repeatable.
   */
  public void input(ConsolePort port, byte[] bytes) {
    switch (port) {
      case COM1 -> platform.receiveSerial(bytes);
      case COM2 -> platform.receiveSecondSerial(bytes);
      case VIRTIO_CONSOLE -> platform.receiveConsole(bytes);
    }
  }

  /** The parts whose state makes up the machine, always in the same order. */
  public List<Stateful> parts() {
    List<Stateful> parts = new ArrayList<>();
    parts.add(machineState);
    parts.add(memory);
    parts.addAll(platform.parts());
    parts.addAll(processors);
    return parts;
  }

  /** The processor whose turn it is, or was last. */
  int turnOf() {
    return current;
  }

  /** When, in nanoseconds, the turn that was cut short ends, or {@link #NO_TURN}. */
  long cutTurnEnd() {
    return cutTurnEnd;
  }

  void restoreTurn(int processor, long cutTurnEnd) {
    this.current = processor;
    this.cutTurnEnd = cutTurnEnd;
  }

  /**
   * Takes everybody off who is attached or connected, so that a snapshot can be restored as into a
   * new machine. The machine must not be running. What was decoded and translated stays, as far as
   * the snapshot's memory is as it was: that is why a machine is used again and not made anew.
   */
  public void recycle() {
    consoles.clear();
    history.clear();
    probes.clear();
    codeCache.recycle();
    idleListener = nanoseconds -> {};
    stopReason = null;
    stopRequested = false;
    memory.setCopyListener(PhysicalMemory.CopyListener.NONE);
    setInstructionListener(0, null);
    setExecutor(null);
    processors.forEach(Processor::recycle);
  }

  /**
   * An account of where the machine stands, for people: what happened, registers, bytes at RIP,
   * last console lines.
   */
  public String report(String whatHappened) {
    return MachineReport.of(whatHappened, processors, current, memory, history.lastLines(20));
  }

  /** Gives memory and disk images back, and what was decoded to the heap. */
  @Override
  public void close() {
    codeCache.clear();
    memory.close();
    for (BlockBackend disk : disks) {
      try {
        disk.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
