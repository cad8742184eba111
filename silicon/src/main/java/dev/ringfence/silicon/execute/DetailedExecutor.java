package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.interpret.BlockFinder;
import dev.ringfence.machine.interpret.Executor;
import dev.ringfence.machine.memory.HostMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.operation.RegisterOperations;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.Forwarding;
import org.jspecify.annotations.Nullable;

/**
 * Executes the instructions of a logical processor with the time that they take and the traces that
 * they leave. Results are those of the machine's own executors, because registers change by the
 * same code ({@link RegisterOperations}, helpers) and memory by the same {@link TranslatedMemory}.
 * Beside each result, a {@link Scoreboard} says when it is there.
 *
 * <p>Instructions execute in program order here; the order of a real pipeline is in the times
 * alone. Where a processor would have executed something else for a while, {@link WrongPath}
 * follows that, with the state and the times of this moment.
 *
 * <p>Constraint: the loop is all the speed of detailed mode. Micro-operations that are neither rare
 * nor complicated are one dispatch, four maxima and one call.
 */
public final class DetailedExecutor implements Executor {
  private static final MicroOperation[] NOTHING = {};

  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final PhysicalMemory physical;
  private final TranslationInspector inspector;
  private final BlockFinder blocks;
  private final Core core;
  private final int thread;
  private final Scoreboard board;
  private final TimedBlocks timedBlocks;
  private final MemoryPath path;
  private final StaleData stale;
  private final CodeFetch fetch;
  private final WrongPath wrongPath;
  private final BranchUnit branches;
  private final HelperAccesses helperAccesses;
  private final ProcessorTime time;
  private final boolean countsInstructions;
  private final boolean storeBypass;
  private final int faultDelay;
  private final int assistLatency;
  private final int deviceLatency;
  private final int interruptLatency;
  private final int exitLatency;
  private final int abortLatency;

  private @Nullable ProcessorException exception;

  /** Whether a virtual machine ran when {@link #machineChanged} looked last. */
  private boolean guest;

  /** The block that executes, for paths that start in it. */
  private Block block;

  /** When the result of the last load is there. */
  private long finish;

  /**
   * @param core that the processor belongs to
   * @param thread which of the core's logical processors it is
   */
  public DetailedExecutor(
      Processor processor, BlockFinder blocks, Core core, int thread, TimeBase timeBase) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.physical = processor.physical();
    this.inspector = memory.inspector();
    this.blocks = blocks;
    this.core = core;
    this.thread = thread;
    this.countsInstructions = timeBase == TimeBase.INSTRUCTIONS;
    this.board = new Scoreboard(core.model().pipeline());
    Latencies latencies = new Latencies(core.model().pipeline());
    this.timedBlocks = new TimedBlocks(processor, latencies);
    this.path = new MemoryPath(processor, core, thread);
    this.stale = new StaleData(core, thread, physical, inspector);
    this.fetch = new CodeFetch(processor, core, thread);
    ReturnPrediction returns = new ReturnPrediction(processor, core, thread);
    this.wrongPath =
        new WrongPath(
            processor, core, thread, blocks, timedBlocks, board, path, stale, fetch, returns);
    this.branches = new BranchUnit(processor, core, thread, board, wrongPath, returns);
    this.helperAccesses = new HelperAccesses(path, memory, physical, inspector, core);
    this.time = new ProcessorTime(processor, timeBase);
    Forwarding forwarding = core.model().forwarding();
    this.storeBypass = forwarding.storeBypass();
    this.faultDelay = core.model().pipeline().faultDelay();
    this.assistLatency = latencies.of("event");
    this.deviceLatency = latencies.of("port");
    this.interruptLatency = latencies.of("event");
    this.exitLatency = latencies.of("vm-exit");
    this.abortLatency = latencies.of("transaction-abort");
    this.guest = processor.vmx().nonRoot();
    board.restart(time.cycleOfProcessor());
  }

  /** The machine takes its own executor back. */
  public void close() {
    time.close();
  }

  /** Cycles since power-on, counting idle time. */
  public long cycles() {
    return board.retired;
  }

  /** Paths that were followed and squashed. */
  public long wrongPaths() {
    return wrongPath.paths();
  }

  /** Micro-operations that were squashed. */
  public long squashedOperations() {
    return wrongPath.operations();
  }

  /** Branches that were predicted wrong. */
  public long mispredictions() {
    return branches.mispredictions();
  }

  @Override
  public @Nullable ProcessorException exception() {
    return exception;
  }

  @Override
  public void eventDelivered() {
    boolean exited = machineChanged() && !guest;
    int latency = exited ? exitLatency : interruptLatency;
    board.drain(board.retired + latency + core.takeOwed(thread));
    branches.modeMayHaveChanged();
    if (!exited && state.code64()) {
      pushedFrame();
    }
  }

  /**
   * Returns whether a virtual machine has been entered or left meanwhile. Neither empties caches,
   * buffers or predictors, and translations only where they have no identifier (Intel, "L1 Terminal
   * Fault" and "Microarchitectural Data Sampling", on virtual machine monitors).
   */
  private boolean machineChanged() {
    if (processor.vmx().nonRoot() == guest) {
      return false;
    }
    guest = !guest;
    fetch.forget();
    if (!processor.vmx().keepsTranslations()) {
      core.forgetTranslations();
    }
    return true;
  }

  /** What the delivery of an event wrote to the stack is in the store buffer and the caches. */
  private void pushedFrame() {
    long stack = state.r[Slot.RSP];
    for (long linear = stack; linear < stack + 40; linear += 8) {
      long host = path.writable(linear, 8);
      if (host != 0) {
        long value = HostMemory.getLong(host);
        long now = board.retired;
        path.store(linear, path.physical(host), 8, value, 0, value, 0, now, now, now);
      }
    }
  }

  @Override
  public void execute(long until) {
    final Processor p = processor;
    final ProcessorState s = state;
    final TranslatedMemory m = memory;
    final Scoreboard b = board;
    final long[] r = s.r;
    MicroOperation[] operations = NOTHING;
    int i = 0;
    exception = null;
    stay();
    blocks.forget();
    if (time.jumped(b.retired)) {
      b.restart(time.cycleOfProcessor());
    }
    try {
      blocks:
      while (!p.needsAttention() && p.time() < until) {
        i = 0;
        final Block current = blocks.find();
        final TimedBlock timed = timedBlocks.at(current, s.rip);
        final long[] timing = timed.timing;
        block = current;
        operations = current.operations;
        int stop = current.instructions;
        int limit = operations.length;
        if (countsInstructions && stop > until - p.time()) {
          stop = (int) (until - p.time());
          limit = current.firstOperation[stop];
        }
        r[Slot.BLOCK_START] = s.rip;
        operationsOfAccess();
        long delay = fetch.of(current, timed, s.rip, b.dispatched);
        if (delay > 0) {
          b.hold(b.dispatched + delay);
        }
        while (i < limit) {
          final MicroOperation o = operations[i];
          final long t = timing[i++];
          final long dispatched = b.dispatch();
          final long start = b.start(t, dispatched);
          long end = start + TimedBlock.latency(t);
          if (TimedBlock.kind(t) != Kind.PLAIN) {
            end = special(o, TimedBlock.kind(t), end);
          }
          switch (o.code) {
            case MicroCode.LOAD8, MicroCode.LOAD16, MicroCode.LOAD32, MicroCode.LOAD64 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              long value = load(o, linear, TimedBlock.bytes(t), start, i);
              r[o.destination] = r[o.destination] & o.keep | value;
              end = finish;
            }
            case MicroCode.LOAD_SIGNED8, MicroCode.LOAD_SIGNED16, MicroCode.LOAD_SIGNED32 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              int shift = 64 - 8 * TimedBlock.bytes(t);
              long value = load(o, linear, TimedBlock.bytes(t), start, i) << shift >> shift;
              r[o.destination] =
                  r[o.destination] & o.keep | value << o.targetShift >>> o.targetShift;
              end = finish;
            }
            case MicroCode.STORE8, MicroCode.STORE16, MicroCode.STORE32, MicroCode.STORE64 -> {
              long linear = r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
              end = store(o, t, linear, r[o.second] + o.immediate, start, i);
            }
            case MicroCode.PUSH64 -> {
              long linear = r[Slot.RSP] - 8;
              end = store(o, t, linear, r[o.second] + o.immediate, start, i);
              r[Slot.RSP] = linear;
            }
            case MicroCode.POP64 -> {
              long linear = r[Slot.RSP];
              long value = load(o, linear, 8, start, i);
              r[Slot.RSP] = linear + 8;
              r[o.destination] = value;
              end = finish;
            }
            case MicroCode.STATE_HELPER -> o.stateHelper.execute(s, o);
            case MicroCode.JUMP -> {
              s.rip = r[Slot.BLOCK_START] + o.immediate << o.shift >>> o.shift;
              if (TimedBlock.kind(t) != Kind.FALL_THROUGH) {
                branches.jumped(o);
              }
              b.retire(end);
              time.complete(current.instructions, b.retired);
              continue blocks;
            }
            case MicroCode.CALL64,
                MicroCode.RETURN64,
                MicroCode.JUMP_INDIRECT64,
                MicroCode.CALL_INDIRECT64 -> {
              transfer(o, t, start, end, i);
              time.complete(current.instructions, b.retired);
              continue blocks;
            }
            case MicroCode.LOAD_FOR_UPDATE,
                MicroCode.LOAD128,
                MicroCode.STORE128,
                MicroCode.PROCESSOR_HELPER ->
                end = rare(o, t, start, end, i);
            case MicroCode.PROCESSOR_HELPER_END -> {
              end = helper(o, TimedBlock.kind(t), start, end);
              p.afterSystemInstruction();
              b.retire(end);
              stay();
              time.complete(current.instructions, b.retired);
              continue blocks;
            }
            default -> {
              if (o.code >= MicroCode.JUMP_IF) {
                branches.conditional(
                    o, Flags.test(o.code - MicroCode.JUMP_IF, s.flagResult, s.flagAuxiliary), end);
                b.retire(end);
                time.complete(current.instructions, b.retired);
                continue blocks;
              }
              RegisterOperations.execute(s, o);
            }
          }
          b.ready[TimedBlock.result(t)] = end;
          b.ready[TimedBlock.otherResult(t)] = end;
          b.retire(end);
          if (m.leaveBlock && mustLeave(current)) {
            limit = o.nextInstruction;
            stop = o.ordinal + 1;
          }
        }
        // The block was cut short, by time or by an access that it must not outlive.
        s.rip = cut(r[Slot.BLOCK_START] + current.offsets[stop], operations[0]);
        time.complete(stop, b.retired);
        stay();
      }
    } catch (ProcessorException e) {
      if (i > 0) {
        MicroOperation o = operations[i - 1];
        s.rip = cut(r[Slot.BLOCK_START] + o.offset, o);
        time.complete(o.ordinal, b.retired);
      }
      stay();
      exception = e;
    }
  }

  /** RIP is as wide as the code. */
  private static long cut(long rip, MicroOperation o) {
    return o.instruction.codeWidth() == 64 ? rip : rip & 0xffffffffL;
  }

  private static long linear(long[] r, MicroOperation o) {
    return r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
  }

  /**
   * Whether an access ends the block: a device was accessed, or code of the block was overwritten.
   * What other code the machine has decoded is a matter of what it did before; events, which are
   * taken between blocks, must not depend on it.
   */
  private boolean mustLeave(Block current) {
    boolean must = memory.deviceAccessed || !current.isValid();
    if (!must) {
      stay();
    }
    return must;
  }

  private void stay() {
    memory.leaveBlock = false;
    memory.deviceAccessed = false;
  }

  /** Devices and observers see the time and the address of the instruction that runs. */
  private void synchronize(MicroOperation o) {
    time.show(o.ordinal, board.retired);
    state.rip = cut(state.r[Slot.BLOCK_START] + o.offset, o);
  }

  private long instruction(MicroOperation o) {
    return state.r[Slot.BLOCK_START] + o.offset;
  }

  /** What an instruction does to the pipeline before it executes; returns when it finishes. */
  private long special(MicroOperation o, int kind, long end) {
    switch (kind) {
      case Kind.LOAD_FENCE -> {
        long done = Math.max(end, board.retired + 1);
        board.hold(done);
        return done;
      }
      case Kind.MEMORY_FENCE -> {
        long drained = core.storeBuffer().drainedAt(thread);
        long done = Math.max(Math.max(end, board.retired), drained) + 1;
        board.hold(done);
        return done;
      }
      case Kind.PREFETCH_FIRST, Kind.PREFETCH_SECOND -> {
        path.prefetch(linear(state.r, o), kind == Kind.PREFETCH_FIRST, end);
        return end;
      }
      case Kind.FLUSH_CACHES -> {
        core.sharedCache().clear();
        fetch.forget();
        board.drain(end);
        return end;
      }
      default -> {
        return end;
      }
    }
  }

  /**
   * A load of up to 8 bytes; {@link #finish} is when its value is there.
   *
   * @param next index of the next micro-operation
   */
  private long load(MicroOperation o, long linear, int bytes, long start, int next) {
    long host = path.readable(linear, bytes);
    if (host == 0) {
      return slowLoad(o, linear, bytes, start, next);
    }
    long value = MemoryPath.read(host, bytes);
    loaded(o, linear, path.physical(host), bytes, value, 0, start, next);
    return value;
  }

  /** A load has read memory: finds out when, and whether it was too early. */
  private void loaded(
      MicroOperation o,
      long linear,
      long address,
      int bytes,
      long value,
      long high,
      long start,
      int next) {
    long instruction = instruction(o);
    long at = path.load(linear, address, bytes, value, high, instruction, start);
    if (path.overtakes()) {
      at = overtaking(o, address, bytes, value, high, at, next);
    } else if (path.passedStores()) {
      core.disambiguation().independent(instruction);
    }
    finish = at;
  }

  /**
   * An older store to the address is under way whose address was not known when the load could have
   * read. The load waits, unless the processor believes that it need not (speculative store
   * bypass).
   */
  private long overtaking(
      MicroOperation o, long address, int bytes, long value, long high, long now, int next) {
    int entry = path.overtaken();
    long known = core.storeBuffer().addressAt(entry);
    long waited = path.waited(now);
    long instruction = instruction(o);
    boolean overtakes =
        storeBypass
            && bytes <= 8
            && state.code64()
            && !core.control(thread).storeBypassDisabled()
            && core.disambiguation().mayOvertake(instruction);
    core.disambiguation().dependent(instruction);
    if (!overtakes) {
      return waited;
    }
    long old = core.storeBuffer().overtaking(thread, address, 0, value, now);
    TransientLoads observer = core.transientLoads();
    if (observer != null) {
      observer.load(instruction, TransientLoads.Way.OVERTAKEN, address, bytes);
    }
    long at = path.cached(address, bytes, old, high, instruction, now);
    wrongPath.afterLoad(block, next, true, old, 0, at, known);
    board.redirect(known);
    return Math.max(waited, board.dispatched);
  }

  private long slowLoad(MicroOperation o, long linear, int bytes, long start, int next) {
    synchronize(o);
    boolean update = o.code == MicroCode.LOAD_FOR_UPDATE;
    if ((linear & 0xfff) + bytes > 4096) {
      long value = read(o, linear, bytes, update);
      finish = path.crossing(linear, bytes, false, instruction(o), start);
      return value;
    }
    TranslationInspector.Outcome outcome = inspector.inspect(linear, update ? PageWalker.WRITE : 0);
    long address = inspector.physical();
    long begin = start;
    if (outcome != TranslationInspector.Outcome.PERMITTED) {
      begin = faulting(outcome, o, linear, bytes, start, next);
    } else if (inspector.marks(update)) {
      begin = assisted(o, linear, bytes, start, next);
    }
    long value = read(o, linear, bytes, update);
    begin = Math.max(begin, operationsOfAccess());
    if (memory.leaveBlock) {
      // A device answered.
      long asked = Math.max(begin, board.retired);
      finish = asked + deviceLatency;
      path.deviceRead(address, bytes, value, asked, finish);
      board.hold(finish);
    } else {
      loaded(o, linear, path.physical(hostOf(linear, address)), bytes, value, 0, begin, next);
    }
    return value;
  }

  private long hostOf(long linear, long address) {
    long host = path.readable(linear, 1);
    return host != 0 ? host : physical.hostAddress(address);
  }

  private long read(MicroOperation o, long linear, int bytes, boolean update) {
    if (update) {
      memory.checkStore(linear, bytes, o.stack);
    }
    return switch (bytes) {
      case 1 -> memory.load8(linear, o.stack);
      case 2 -> memory.load16(linear, o.stack);
      case 4 -> memory.load32(linear, o.stack);
      default -> memory.load64(linear, o.stack);
    };
  }

  /**
   * A load will fault when it retires, or the view's tables lack the page and it will be repeated.
   * What is younger executes until then, with what the load forwards.
   *
   * @return when it is over
   */
  private long faulting(
      TranslationInspector.Outcome outcome,
      MicroOperation o,
      long linear,
      int bytes,
      long start,
      int next) {
    long translated = path.failed(outcome, linear, start);
    boolean received =
        o.code == MicroCode.LOAD_FOR_UPDATE
                && inspector.inspect(linear, 0) == TranslationInspector.Outcome.PERMITTED
            ? stale.ofMemory(inspector.physical(), bytes)
            : stale.ofFault(
                inspector.inspect(linear, 0),
                linear,
                bytes,
                instruction(o),
                translated,
                outcome == TranslationInspector.Outcome.HIDDEN && state.cpl != 3);
    return squashed(received, translated, next);
  }

  /** A load needs the microcode's help to set an accessed bit, and is repeated. */
  private long assisted(MicroOperation o, long linear, int bytes, long start, int next) {
    long translated = path.translated(linear, start);
    boolean received = stale.ofAssist(linear, bytes, instruction(o));
    long over = squashed(received, translated, next) + assistLatency;
    board.drain(over);
    return over;
  }

  private long squashed(boolean received, long translated, int next) {
    long at = translated + path.firstLevelLatency();
    long squash = Math.max(board.retired, at) + faultDelay;
    if (state.code64()) {
      wrongPath.afterLoad(block, next, received, stale.low(), stale.high(), at, squash);
    }
    board.drain(squash);
    return squash;
  }

  /**
   * What a layer beneath the guest has done to the silicon at an access, such as the write of CR3
   * with which isolation leaves the restricted address space, is behind a fault: it has ended
   * before anything younger is dispatched. Returns when that is, 0 if there is none.
   */
  private long operationsOfAccess() {
    int cycles = core.takeOwed(thread);
    if (cycles == 0) {
      return 0;
    }
    board.drain(board.retired + cycles);
    return board.dispatched;
  }

  /** A store of up to 8 bytes; returns when it may retire. */
  private long store(MicroOperation o, long t, long linear, long value, long start, int next) {
    int bytes = TimedBlock.bytes(t);
    long dataAt = board.ready[o.second];
    long free = core.storeBuffer().freeAt(thread);
    if (free > board.dispatched) {
      board.hold(free);
    }
    long host = path.writable(linear, bytes);
    if (host == 0) {
      return slowStore(o, linear, bytes, value, start, dataAt, next);
    }
    long addressAt = path.translated(linear, start);
    long end = Math.max(addressAt, dataAt) + 1;
    stored(t, linear, host, bytes, value, addressAt, dataAt, end);
    switch (bytes) {
      case 8 -> HostMemory.putLong(host, value);
      case 4 -> HostMemory.putInt(host, (int) value);
      case 1 -> HostMemory.putByte(host, (byte) value);
      default -> HostMemory.putShort(host, (short) value);
    }
    return end;
  }

  /** A store is about to write memory: notes it, and what was there. */
  private void stored(
      long t,
      long linear,
      long host,
      int bytes,
      long value,
      long addressAt,
      long dataAt,
      long end) {
    long address = path.physical(host);
    long retired = Math.max(end, board.retired);
    if (TimedBlock.kind(t) == Kind.STREAMING_STORE) {
      path.storeAround(linear, address, bytes, value, addressAt, dataAt, retired);
    } else {
      long before = MemoryPath.read(host, bytes);
      path.store(linear, address, bytes, value, 0, before, 0, addressAt, dataAt, retired);
    }
  }

  private long slowStore(
      MicroOperation o, long linear, int bytes, long value, long start, long dataAt, int next) {
    synchronize(o);
    long begin = start;
    boolean crosses = (linear & 0xfff) + bytes > 4096;
    TranslationInspector.Outcome outcome = inspector.inspect(linear, PageWalker.WRITE);
    if (outcome != TranslationInspector.Outcome.PERMITTED) {
      long translated = path.failed(outcome, linear, start);
      long squash = Math.max(board.retired, translated) + faultDelay;
      if (state.code64()) {
        wrongPath.afterStore(block, next, linear, bytes, value, squash);
      }
      board.drain(squash);
      begin = squash;
    } else if (inspector.marks(true)) {
      begin = Math.max(board.retired, start) + assistLatency;
      board.drain(begin);
    }
    long addressAt =
        crosses || outcome != TranslationInspector.Outcome.PERMITTED
            ? begin
            : path.translated(linear, begin);
    inspector.inspect(linear, PageWalker.WRITE);
    long host = crosses ? 0 : physical.hostAddress(inspector.physical());
    long before = host == 0 ? 0 : MemoryPath.read(host, bytes);
    switch (bytes) {
      case 1 -> memory.store8(linear, value, o.stack);
      case 2 -> memory.store16(linear, value, o.stack);
      case 4 -> memory.store32(linear, value, o.stack);
      default -> memory.store64(linear, value, o.stack);
    }
    long end = Math.max(operationsOfAccess(), Math.max(addressAt, dataAt) + 1);
    if (crosses) {
      return Math.max(end, path.crossing(linear, bytes, true, instruction(o), begin));
    }
    if (host == 0) {
      return end + deviceLatency;
    }
    path.store(
        linear,
        path.physical(host),
        bytes,
        value,
        0,
        before,
        0,
        addressAt,
        dataAt,
        Math.max(end, board.retired));
    return end;
  }

  /** Micro-operations that are not worth space in the loop. */
  private long rare(MicroOperation o, long t, long start, long end, int next) {
    long[] r = state.r;
    switch (o.code) {
      case MicroCode.LOAD_FOR_UPDATE -> {
        long linear = linear(r, o);
        int bytes = TimedBlock.bytes(t);
        long host = path.writable(linear, bytes);
        if (host == 0) {
          r[o.destination] = slowLoad(o, linear, bytes, start, next);
        } else {
          r[o.destination] = MemoryPath.read(host, bytes);
          loaded(o, linear, path.physical(host), bytes, r[o.destination], 0, start, next);
        }
        return finish + (TimedBlock.kind(t) == Kind.LOCKED ? TimedBlock.latency(t) : 0);
      }
      case MicroCode.LOAD128 -> {
        load128(o, linear(r, o), start, next);
        return finish;
      }
      case MicroCode.STORE128 -> {
        return store128(o, t, linear(r, o), start);
      }
      default -> {
        return helper(o, TimedBlock.kind(t), start, end);
      }
    }
  }

  private void load128(MicroOperation o, long linear, long start, int next) {
    long[] r = state.r;
    synchronize(o);
    checkAligned(o, linear);
    if (path.readable(linear, 16) == 0 && (linear & 0xfff) <= 4096 - 16) {
      TranslationInspector.Outcome outcome = inspector.inspect(linear, 0);
      if (outcome != TranslationInspector.Outcome.PERMITTED) {
        faulting(outcome, o, linear, 16, start, next);
      } else if (inspector.marks(false)) {
        assisted(o, linear, 16, start, next);
      }
    }
    memory.checkLoad(linear, 16, o.stack);
    long low = memory.load64(linear, o.stack);
    long high = memory.load64(linear + 8, o.stack);
    r[o.destination + 1] = high;
    r[o.destination] = low;
    long host = path.readable(linear, 16);
    if (host == 0) {
      finish = Math.max(start, board.retired) + deviceLatency;
    } else {
      loaded(o, linear, path.physical(host), 16, low, high, start, next);
    }
  }

  private long store128(MicroOperation o, long t, long linear, long start) {
    long[] r = state.r;
    synchronize(o);
    checkAligned(o, linear);
    memory.checkStore(linear, 16, o.stack);
    long dataAt = Math.max(board.ready[o.second], board.ready[o.second + 1]);
    long host = path.writable(linear, 16);
    long end = Math.max(start, dataAt) + 1;
    if (host != 0) {
      long addressAt = path.translated(linear, start);
      long retired = Math.max(end, board.retired);
      long address = path.physical(host);
      if (TimedBlock.kind(t) == Kind.STREAMING_STORE) {
        path.storeAround(linear, address, 16, r[o.second], addressAt, dataAt, retired);
      } else {
        path.store(
            linear,
            address,
            16,
            r[o.second],
            r[o.second + 1],
            MemoryPath.read(host, 8),
            MemoryPath.read(host + 8, 8),
            addressAt,
            dataAt,
            retired);
      }
    }
    memory.store64(linear, r[o.second], o.stack);
    memory.store64(linear + 8, r[o.second + 1], o.stack);
    return end;
  }

  private static void checkAligned(MicroOperation o, long linear) {
    if (o.aligned && (linear & 15) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** Calls and indirect jumps of 64-bit code, and returns. */
  private void transfer(MicroOperation o, long t, long start, long end, int next) {
    long[] r = state.r;
    switch (o.code) {
      case MicroCode.CALL64 -> {
        long behind = r[Slot.BLOCK_START] + o.displacement;
        long stored = store(o, t, r[Slot.RSP] - 8, behind, start, next);
        r[Slot.RSP] -= 8;
        state.rip = r[Slot.BLOCK_START] + o.immediate;
        branches.called(o, behind);
        board.retire(stored);
      }
      case MicroCode.RETURN64 -> {
        long linear = r[Slot.RSP];
        long target = load(o, linear, 8, start, next);
        checkTarget(target);
        branches.returned(o, target, finish + 1);
        r[Slot.RSP] = linear + 8 + o.immediate;
        state.rip = target;
        board.retire(finish + 1);
      }
      case MicroCode.JUMP_INDIRECT64 -> {
        long target = r[o.second] + o.immediate;
        checkTarget(target);
        branches.indirect(o, target, end);
        state.rip = target;
        board.retire(end);
      }
      default -> {
        long target = r[o.second];
        checkTarget(target);
        long behind = r[Slot.BLOCK_START] + o.displacement;
        long resolved = Math.max(start, board.ready[o.second]) + 1;
        // The target register is the second operand; the store's data is the address behind.
        long stored = store(o, t, r[Slot.RSP] - 8, behind, start, next);
        r[Slot.RSP] -= 8;
        branches.calledIndirectly(o, target, behind, resolved);
        state.rip = target;
        board.retire(Math.max(stored, resolved));
      }
    }
    stay();
  }

  private static void checkTarget(long target) {
    if (!ProcessorState.canonical(target)) {
      throw ProcessorException.generalProtection();
    }
  }

  /** Calls a helper on the processor; returns when the instruction finishes. */
  private long helper(MicroOperation o, int kind, long start, long end) {
    synchronize(o);
    state.rip = cut(state.r[Slot.BLOCK_START] + o.nextOffset(), o);
    switch (kind) {
      case Kind.PROBE -> {
        o.processorHelper.execute(processor, o);
        return start;
      }
      case Kind.TIME_STAMP, Kind.TIME_STAMP_ORDERED -> {
        long read = kind == Kind.TIME_STAMP ? start : Math.max(start, board.retired);
        long done = read + end - start;
        time.setTimeStamp(read);
        o.processorHelper.execute(processor, o);
        board.ready[Slot.RAX] = done;
        board.ready[Slot.RDX] = done;
        if (kind == Kind.TIME_STAMP_ORDERED) {
          board.ready[Slot.RCX] = done;
        }
        return done;
      }
      case Kind.ACCESS_FLAG -> {
        o.processorHelper.execute(processor, o);
        return end;
      }
      case Kind.FLUSH_LINE, Kind.WRITE_BACK_LINE -> {
        o.processorHelper.execute(processor, o);
        if (kind == Kind.FLUSH_LINE) {
          flush(linear(state.r, o));
        }
        return end;
      }
      case Kind.TRANSACTION -> {
        if (state.code64() && !core.control(thread).transactionsDisabled()) {
          long aborted = Math.max(board.retired, end) + abortLatency;
          wrongPath.aborted(state.rip, aborted);
          board.drain(aborted);
        }
        o.processorHelper.execute(processor, o);
        return board.retired;
      }
      default -> {
        return microcode(o, kind, Math.max(start, board.retired), end - start);
      }
    }
  }

  private void flush(long linear) {
    if (inspector.inspect(linear, 0) == TranslationInspector.Outcome.PERMITTED) {
      core.sharedCache().flush(inspector.physical());
      fetch.forget();
    }
  }

  private long pagingModes() {
    return state.cr0 ^ state.cr4 << 32;
  }

  /**
   * What an instruction has invalidated (SDM volume 3, 4.10.4.1). Where those of one address space
   * go, nothing has to be done: it has another number afterwards. A write of CR3 so keeps those of
   * global pages, and one with bit 63 set all of them.
   *
   * @param before {@link #pagingModes} before it
   */
  private void translationsMayGo(MicroOperation o, int kind, long before) {
    switch (kind) {
      case Kind.PAGE_TRANSLATION -> {
        core.forgetTranslation(linear(state.r, o), (int) memory.context >>> 2, memory.globalSlot());
        fetch.forget();
      }
      case Kind.TRANSLATIONS -> {
        core.forgetTranslations();
        fetch.forget();
      }
      case Kind.CONTROL_REGISTER -> {
        if (pagingModes() != before) {
          core.forgetTranslations();
        }
        fetch.forget();
      }
      default -> {}
    }
  }

  /** An instruction of many micro-operations that this model does not have: it executes alone. */
  private long microcode(MicroOperation o, int kind, long start, long latency) {
    time.setTimeStamp(start);
    long before = processor.time();
    long modes = pagingModes();
    long done = helperAccesses.during(o, processor, start + latency);
    done += time.cycles(processor.time() - before) + core.takeOwed(thread);
    machineChanged();
    branches.modeMayHaveChanged();
    for (int slot = Slot.RAX; slot <= Slot.R15; slot++) {
      board.ready[slot] = done;
    }
    board.ready[TimedBlock.FLAGS] = done;
    translationsMayGo(o, kind, modes);
    if (kind != Kind.MICROCODE && kind != Kind.LOCKED) {
      board.drain(done);
    }
    return done;
  }
}
