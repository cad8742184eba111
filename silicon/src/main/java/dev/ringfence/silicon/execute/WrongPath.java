package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.interpret.BlockFinder;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.operation.RegisterOperations;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.predict.BranchHistory;
import dev.ringfence.silicon.predict.DirectionPredictor;
import dev.ringfence.silicon.predict.PredictorMode;
import dev.ringfence.silicon.predict.TargetPredictor;
import org.jspecify.annotations.Nullable;

/**
 * Transient execution: what a processor executes that never retires, behind a mispredicted branch,
 * a load that faults or needs an assist, one that overtook a store, or in a transaction that is
 * being aborted.
 *
 * <p>The same micro-operations run on a copy of the registers, with the same times, until they are
 * squashed: at a cycle that the caller knows, since it knows when the branch resolves or the fault
 * is delivered, or when the reorder buffer is full. What would begin later has no effect. Stores
 * stay in a list of this object. So nothing architectural can remain; what does remain is what
 * {@link MemoryPath} and the predictors keep.
 *
 * <p>Branches on a wrong path are predicted, and resolved if their operands are there in time, so
 * that a wrong path has wrong paths of its own. Code that waits (fences, serializing instructions,
 * microcode that accesses memory) ends the path, because it would begin only after the squash. Only
 * 64-bit code is followed.
 */
final class WrongPath {
  /** Of a value that does not arrive. */
  private static final long NEVER = Long.MAX_VALUE / 4;

  /** Wrong paths within wrong paths. */
  private static final int LEVELS = 4;

  private static final int STORES = 72;

  /** One path: registers, and when they are ready. */
  private static final class Level {
    final ProcessorState state = new ProcessorState();
    final long[] ready = new long[TimedBlock.SLOTS];
    final BranchHistory history;
    long dispatched;
    int issued;

    /** Micro-operations that were dispatched since the path of the outermost level began. */
    int taken;

    Level(int historyLength) {
      history = DirectionPredictor.history(historyLength);
    }
  }

  private final Processor processor;
  private final Core core;
  private final int thread;
  private final BlockFinder blocks;
  private final TimedBlocks timedBlocks;
  private final Scoreboard board;
  private final MemoryPath path;
  private final StaleData stale;
  private final CodeFetch fetch;
  private final ReturnPrediction returns;
  private final TranslatedMemory memory;
  private final TranslationInspector inspector;
  private final PhysicalMemory physical;
  private final Level[] levels = new Level[LEVELS];
  private final int refill;
  private final boolean follows;

  // Stores of wrong paths, the youngest last.
  private final long[] storeLinear = new long[STORES];
  private final int[] storeBytes = new int[STORES];
  private final long[] storeLow = new long[STORES];
  private final long[] storeHigh = new long[STORES];
  private final long[] storeReady = new long[STORES];
  private int stores;

  /** Whether the path is that of a transaction that is being aborted. */
  private boolean aborting;

  // Result of the last load.
  private long low;
  private long high;

  private long paths;
  private long operations;

  WrongPath(
      Processor processor,
      Core core,
      int thread,
      BlockFinder blocks,
      TimedBlocks timedBlocks,
      Scoreboard board,
      MemoryPath path,
      StaleData stale,
      CodeFetch fetch,
      ReturnPrediction returns) {
    this.processor = processor;
    this.core = core;
    this.thread = thread;
    this.blocks = blocks;
    this.timedBlocks = timedBlocks;
    this.board = board;
    this.path = path;
    this.stale = stale;
    this.fetch = fetch;
    this.returns = returns;
    this.memory = processor.memory();
    this.inspector = memory.inspector();
    this.physical = processor.physical();
    this.refill = core.model().pipeline().frontEndRefill();
    this.follows = core.model().pipeline().transientExecution();
    for (int i = 0; i < LEVELS; i++) {
      levels[i] = new Level(core.model().predictors().historyLength());
    }
  }

  /** Paths that were followed. */
  long paths() {
    return paths;
  }

  /** Micro-operations that were dispatched on them. */
  long operations() {
    return operations;
  }

  /**
   * Follows the path behind a branch whose prediction is wrong.
   *
   * @param rip where the prediction leads
   * @param squash when the branch resolves
   */
  void mispredicted(long rip, long squash) {
    if (follows && squash > board.dispatched) {
      end(begin(), rip, squash);
    }
  }

  /**
   * Follows the code behind an aborted XBEGIN.
   *
   * @param rip of the instruction behind it
   * @param squash when the abort is complete
   */
  void aborted(long rip, long squash) {
    if (follows) {
      Level level = begin();
      aborting = true;
      end(level, rip, squash);
      aborting = false;
    }
  }

  private void end(Level level, long rip, long squash) {
    int position = returns.position();
    level.state.rip = rip;
    follow(0, null, 0, squash);
    returns.restore(position);
  }

  /**
   * Follows the code behind a load that gives its dependents something else than what it will have
   * read when it retires.
   *
   * @param block that holds the load
   * @param index of the micro-operation behind it
   * @param received whether the dependents receive anything
   * @param lowBytes bytes 0 to 7 of what they receive
   * @param at when they receive it
   * @param squash when execution begins anew
   */
  void afterLoad(
      Block block,
      int index,
      boolean received,
      long lowBytes,
      long highBytes,
      long at,
      long squash) {
    if (!follows || squash <= board.dispatched) {
      return;
    }
    Level level = begin();
    MicroOperation load = block.operations[index - 1];
    low = lowBytes;
    high = highBytes;
    int position = returns.position();
    if (load.code == MicroCode.RETURN64) {
      // The return stack predicted; the path goes on there.
      level.state.rip = returns.predict(level.state, load, level.history);
      if (level.state.rip != TargetPredictor.NONE) {
        level.state.r[Slot.RSP] += 8 + load.immediate;
        follow(0, null, 0, squash);
      }
    } else {
      if (load.code == MicroCode.POP64) {
        level.state.r[Slot.RSP] += 8;
      }
      complete(level, load, timedBlocks.of(block).timing[index - 1], received ? at : NEVER);
      follow(0, block, index, squash);
    }
    returns.restore(position);
  }

  /** Follows the code behind a store that will fault. Likewise. */
  void afterStore(Block block, int index, long linear, int bytes, long value, long squash) {
    if (!follows || squash <= board.dispatched) {
      return;
    }
    Level level = begin();
    MicroOperation store = block.operations[index - 1];
    addStore(linear, bytes, value, 0, board.dispatched);
    int position = returns.position();
    if (store.code == MicroCode.CALL64) {
      level.state.r[Slot.RSP] = linear;
      level.state.rip = level.state.r[Slot.BLOCK_START] + store.immediate;
      returns.called(value);
      follow(0, null, 0, squash);
    } else if (store.code != MicroCode.CALL_INDIRECT64) {
      if (store.code == MicroCode.PUSH64) {
        level.state.r[Slot.RSP] = linear;
      }
      follow(0, block, index, squash);
    }
    returns.restore(position);
  }

  private Level begin() {
    paths++;
    Level level = levels[0];
    level.state.copyFrom(processor.state());
    System.arraycopy(board.ready, 0, level.ready, 0, level.ready.length);
    level.history.copyFrom(core.history(thread));
    level.dispatched = board.dispatched;
    level.issued = board.issued;
    level.taken = 0;
    stores = 0;
    return level;
  }

  /**
   * Follows a path from a block, or from RIP of the level, until it is squashed or ends.
   *
   * @param first the block, or null: that at RIP
   * @param index of the micro-operation to begin with
   */
  private void follow(int depth, @Nullable Block first, int index, long squash) {
    Level level = levels[depth];
    Block block = first;
    int i = index;
    while (true) {
      if (block == null) {
        block = fetched(level, squash);
        if (block == null) {
          return;
        }
        level.state.r[Slot.BLOCK_START] = level.state.rip;
        i = 0;
      }
      long[] timing = timedBlocks.of(block).timing;
      MicroOperation[] code = block.operations;
      boolean left = false;
      while (!left) {
        if (!dispatch(level) || level.dispatched >= squash) {
          return;
        }
        operations++;
        MicroOperation o = code[i];
        long t = timing[i];
        i++;
        int next = execute(depth, level, o, t, squash);
        if (next == STOP) {
          return;
        }
        left = next == LEFT;
      }
      block = null;
    }
  }

  /** The path ends. */
  private static final int STOP = 0;

  /** The next micro-operation follows. */
  private static final int GO_ON = 1;

  /** RIP of the level says where the path goes on. */
  private static final int LEFT = 2;

  private @Nullable Block fetched(Level level, long squash) {
    Block block = blocks.findQuietly(level.state.rip);
    if (block == null) {
      return null;
    }
    long delay =
        fetch.of(block, timedBlocks.at(block, level.state.rip), level.state.rip, level.dispatched);
    if (delay > 0) {
      level.dispatched += delay;
      level.issued = 0;
    }
    return level.dispatched < squash ? block : null;
  }

  /** Returns false if the reorder buffer has no room before the squash. */
  private boolean dispatch(Level level) {
    if (++level.taken >= board.retirements.length) {
      return false;
    }
    int entry = board.head + level.taken;
    if (entry >= board.retirements.length) {
      entry -= board.retirements.length;
    }
    long free = board.retirements[entry];
    if (free > level.dispatched) {
      level.dispatched = free;
      level.issued = 1;
    } else if (level.issued == board.width) {
      level.dispatched++;
      level.issued = 1;
    } else {
      level.issued++;
    }
    return true;
  }

  private static long start(Level level, long t) {
    long[] ready = level.ready;
    long start = Math.max(level.dispatched, ready[TimedBlock.first(t)]);
    start = Math.max(start, ready[TimedBlock.second(t)]);
    start = Math.max(start, ready[TimedBlock.third(t)]);
    return Math.max(start, ready[TimedBlock.fourth(t)]);
  }

  private int execute(int depth, Level level, MicroOperation o, long t, long squash) {
    int kind = TimedBlock.kind(t);
    if (kind != Kind.PLAIN && stops(kind, o.code)) {
      return STOP;
    }
    long start = start(level, t);
    boolean executes = start < squash;
    long finish = executes ? start + TimedBlock.latency(t) : NEVER;
    ProcessorState s = level.state;
    long[] r = s.r;
    switch (o.code) {
      case MicroCode.LOAD8,
          MicroCode.LOAD16,
          MicroCode.LOAD32,
          MicroCode.LOAD64,
          MicroCode.LOAD_SIGNED8,
          MicroCode.LOAD_SIGNED16,
          MicroCode.LOAD_SIGNED32,
          MicroCode.LOAD_FOR_UPDATE,
          MicroCode.LOAD128 -> {
        complete(level, o, t, executes ? load(level, linear(r, o), o, t, start) : NEVER);
        return GO_ON;
      }
      case MicroCode.POP64 -> {
        long at = executes ? load(level, r[Slot.RSP], o, t, start) : NEVER;
        r[Slot.RSP] += 8;
        complete(level, o, t, at);
        return GO_ON;
      }
      case MicroCode.STORE8, MicroCode.STORE16, MicroCode.STORE32, MicroCode.STORE64 -> {
        if (executes) {
          store(level, linear(r, o), TimedBlock.bytes(t), r[o.second] + o.immediate, 0, o, start);
        }
        return GO_ON;
      }
      case MicroCode.STORE128 -> {
        if (executes) {
          store(level, linear(r, o), 16, r[o.second], r[o.second + 1], o, start);
        }
        return GO_ON;
      }
      case MicroCode.PUSH64 -> {
        push(level, r[o.second] + o.immediate, o, start, executes);
        return GO_ON;
      }
      case MicroCode.STATE_HELPER -> {
        if (executes && !helped(s, o)) {
          return STOP;
        }
      }
      case MicroCode.PROCESSOR_HELPER, MicroCode.PROCESSOR_HELPER_END -> {
        if (kind == Kind.ACCESS_FLAG) {
          s.systemFlags = s.systemFlags & ~Flags.AC | (int) o.immediate;
          s.rip = r[Slot.BLOCK_START] + o.nextOffset();
          return LEFT;
        }
        if (kind == Kind.TIME_STAMP) {
          long ticks = start + s.tscOffset + processor.vmx().timeStampOffset();
          r[Slot.RAX] = ticks & 0xffffffffL;
          r[Slot.RDX] = ticks >>> 32;
          level.ready[Slot.RAX] = finish;
          level.ready[Slot.RDX] = finish;
        }
        return GO_ON;
      }
      case MicroCode.JUMP,
          MicroCode.JUMP_INDIRECT64,
          MicroCode.CALL64,
          MicroCode.CALL_INDIRECT64,
          MicroCode.RETURN64 -> {
        return jump(depth, level, o, t, start, squash);
      }
      default -> {
        if (o.code >= MicroCode.JUMP_IF) {
          return conditional(depth, level, o, finish, squash);
        }
        if (executes) {
          RegisterOperations.execute(s, o);
          if (kind == Kind.PREFETCH_FIRST || kind == Kind.PREFETCH_SECOND) {
            path.prefetch(r[o.destination], kind == Kind.PREFETCH_FIRST, start);
          }
        }
      }
    }
    level.ready[TimedBlock.result(t)] = finish;
    level.ready[TimedBlock.otherResult(t)] = finish;
    return GO_ON;
  }

  /** Whether a wrong path ends at an instruction. */
  private boolean stops(int kind, int code) {
    return switch (kind) {
      case Kind.LOAD_FENCE -> core.control(thread).loadFenceSerializes();
      case Kind.MEMORY_FENCE,
          Kind.SERIALIZING,
          Kind.TRANSLATIONS,
          Kind.PAGE_TRANSLATION,
          Kind.CONTROL_REGISTER,
          Kind.FLUSH_CACHES,
          Kind.MICROCODE,
          Kind.TRANSACTION,
          Kind.TIME_STAMP_ORDERED,
          Kind.PAUSE ->
          true;
      case Kind.LOCKED ->
          code == MicroCode.PROCESSOR_HELPER || code == MicroCode.PROCESSOR_HELPER_END;
      default -> false;
    };
  }

  /** Returns false if the helper raised an exception. */
  private static boolean helped(ProcessorState s, MicroOperation o) {
    try {
      o.stateHelper.execute(s, o);
      return true;
    } catch (ProcessorException e) {
      return false;
    }
  }

  private static long linear(long[] r, MicroOperation o) {
    return r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase];
  }

  /** Writes what a load has read to its destination. */
  private void complete(Level level, MicroOperation o, long t, long at) {
    long[] r = level.state.r;
    switch (o.code) {
      case MicroCode.LOAD_SIGNED8, MicroCode.LOAD_SIGNED16, MicroCode.LOAD_SIGNED32 -> {
        int shift = 64 - 8 * TimedBlock.bytes(t);
        long value = low << shift >> shift;
        r[o.destination] = r[o.destination] & o.keep | value << o.targetShift >>> o.targetShift;
      }
      case MicroCode.LOAD128 -> {
        r[o.destination] = low;
        r[o.destination + 1] = high;
      }
      default -> r[o.destination] = r[o.destination] & o.keep | low;
    }
    level.ready[TimedBlock.result(t)] = at;
    level.ready[TimedBlock.otherResult(t)] = at;
  }

  /** Loads into {@link #low} and {@link #high}; returns when the value is there. */
  private long load(Level level, long linear, MicroOperation o, long t, long start) {
    int bytes = TimedBlock.bytes(t);
    long instruction = level.state.r[Slot.BLOCK_START] + o.offset;
    low = 0;
    high = 0;
    if (withdrawn(level.state, linear)) {
      return NEVER;
    }
    long at;
    long host = path.readable(linear, bytes);
    if (host != 0) {
      at = ofMemory(linear, host, bytes, instruction, start);
    } else {
      at = slowLoad(linear, bytes, instruction, start);
    }
    // A load whose line is in the first level has completed before the abort can reach it.
    long hit = start + path.firstLevelLatency();
    if (aborting && at > hit && stale.ofAbort(linear, bytes, instruction)) {
      low = stale.low();
      high = stale.high();
      return hit;
    }
    return at >= NEVER ? at : ofStores(linear, bytes, at);
  }

  /**
   * Whether the path has executed CLAC, so that supervisor mode may not load from user pages any
   * more; translations are looked up with the flag as the processor has it.
   */
  private boolean withdrawn(ProcessorState s, long linear) {
    return linear >= 0
        && s.cpl != 3
        && (s.cr4 & ControlBits.CR4_SMAP) != 0
        && (processor.state().systemFlags & ~s.systemFlags & Flags.AC) != 0;
  }

  private long ofMemory(long linear, long host, int bytes, long instruction, long start) {
    low = MemoryPath.read(host, Math.min(bytes, 8));
    high = bytes == 16 ? MemoryPath.read(host + 8, 8) : 0;
    long address = path.physical(host);
    TransientLoads observer = core.transientLoads();
    if (observer != null) {
      observer.load(instruction, TransientLoads.Way.MAPPED, address, bytes);
    }
    long at = path.load(linear, address, bytes, low, high, instruction, start);
    return path.overtakes() ? path.waited(at) : at;
  }

  private long slowLoad(long linear, int bytes, long instruction, long start) {
    if ((linear & 0xfff) + bytes > 4096) {
      return NEVER;
    }
    TranslationInspector.Outcome outcome = inspector.inspect(linear, 0);
    if (outcome == TranslationInspector.Outcome.PERMITTED) {
      long address = inspector.physical();
      if (!physical.isRam(address, bytes)) {
        return NEVER;
      }
      if (inspector.marks(false)) {
        boolean received = stale.ofAssist(linear, bytes, instruction);
        return received(received, path.translated(linear, start));
      }
      return ofMemory(linear, physical.hostAddress(address), bytes, instruction, start);
    }
    long translated = path.failed(outcome, linear, start);
    return received(
        stale.ofFault(outcome, linear, bytes, instruction, translated, false), translated);
  }

  private long received(boolean received, long translated) {
    if (!received) {
      return NEVER;
    }
    low = stale.low();
    high = stale.high();
    return translated + path.firstLevelLatency();
  }

  /** Puts bytes of older stores of the path over what memory has. */
  private long ofStores(long linear, int bytes, long at) {
    long ready = at;
    for (int i = 0; i < stores; i++) {
      long distance = storeLinear[i] - linear;
      if (distance < bytes && distance > -storeBytes[i]) {
        ready = Math.max(ready, storeReady[i] + path.forwardLatency());
        for (int n = 0; n < storeBytes[i]; n++) {
          put(distance + n, n < 8 ? storeLow[i] >>> 8 * n : storeHigh[i] >>> 8 * (n - 8), bytes);
        }
      }
    }
    return ready;
  }

  private void put(long index, long value, int bytes) {
    if (index < 0 || index >= bytes) {
      return;
    }
    int shift = 8 * (int) (index & 7);
    long mask = 0xffL << shift;
    long octet = (value & 0xff) << shift;
    if (index < 8) {
      low = low & ~mask | octet;
    } else {
      high = high & ~mask | octet;
    }
  }

  private void store(
      Level level,
      long linear,
      int bytes,
      long lowBytes,
      long highBytes,
      MicroOperation o,
      long start) {
    addStore(linear, bytes, lowBytes, highBytes, Math.max(start, level.ready[o.second]));
  }

  private void addStore(long linear, int bytes, long lowBytes, long highBytes, long ready) {
    if (stores == STORES) {
      return;
    }
    storeLinear[stores] = linear;
    storeBytes[stores] = bytes;
    storeLow[stores] = lowBytes;
    storeHigh[stores] = highBytes;
    storeReady[stores] = ready;
    stores++;
  }

  private void push(Level level, long value, MicroOperation o, long start, boolean executes) {
    long[] r = level.state.r;
    r[Slot.RSP] -= 8;
    if (executes) {
      store(level, r[Slot.RSP], 8, value, 0, o, start);
    }
  }

  private long lastByte(Level level, MicroOperation o) {
    return level.state.r[Slot.BLOCK_START] + o.nextOffset() - 1;
  }

  private int conditional(int depth, Level level, MicroOperation o, long finish, long squash) {
    long[] r = level.state.r;
    long branch = lastByte(level, o);
    boolean predicted = core.directions().predict(branch, level.history);
    boolean taken = predicted;
    if (finish < squash) {
      taken =
          Flags.test(o.code - MicroCode.JUMP_IF, level.state.flagResult, level.state.flagAuxiliary);
    }
    long there = r[Slot.BLOCK_START] + o.immediate;
    long behind = r[Slot.BLOCK_START] + o.displacement;
    if (taken != predicted) {
      nested(depth, branch, predicted ? there : behind, predicted, finish);
    }
    if (taken) {
      level.history.taken(branch, there);
    }
    level.state.rip = taken ? there : behind;
    return LEFT;
  }

  /** Follows the wrong path of a branch of a wrong path; this one goes on when it has resolved. */
  private void nested(int depth, long branch, long rip, boolean taken, long resolved) {
    Level level = levels[depth];
    if (depth + 1 < LEVELS && resolved > level.dispatched) {
      Level inner = levels[depth + 1];
      inner.state.copyFrom(level.state);
      System.arraycopy(level.ready, 0, inner.ready, 0, inner.ready.length);
      inner.history.copyFrom(level.history);
      inner.dispatched = level.dispatched;
      inner.issued = level.issued;
      inner.taken = level.taken;
      inner.state.rip = rip;
      if (taken) {
        inner.history.taken(branch, rip);
      }
      int storesBefore = stores;
      int position = returns.position();
      follow(depth + 1, null, 0, resolved);
      returns.restore(position);
      stores = storesBefore;
    }
    if (resolved + refill > level.dispatched) {
      level.dispatched = resolved + refill;
      level.issued = 0;
    }
  }

  private int jump(int depth, Level level, MicroOperation o, long t, long start, long squash) {
    ProcessorState s = level.state;
    long[] r = s.r;
    long branch = lastByte(level, o);
    boolean executes = start < squash;
    int mode = PredictorMode.of(processor.vmx().nonRoot(), s.cpl);
    switch (o.code) {
      case MicroCode.JUMP -> {
        s.rip = r[Slot.BLOCK_START] + o.immediate;
        if (TimedBlock.kind(t) != Kind.FALL_THROUGH) {
          level.history.taken(branch, s.rip);
        }
        return LEFT;
      }
      case MicroCode.CALL64 -> {
        long next = r[Slot.BLOCK_START] + o.displacement;
        push(level, next, o, start, executes);
        returns.called(next);
        s.rip = r[Slot.BLOCK_START] + o.immediate;
        level.history.taken(branch, s.rip);
        return LEFT;
      }
      case MicroCode.RETURN64 -> {
        long at = executes ? load(level, r[Slot.RSP], o, t, start) : NEVER;
        long target = low;
        long predicted = returns.predict(s, o, level.history);
        r[Slot.RSP] += 8 + o.immediate;
        return go(depth, level, branch, predicted, target, at, squash);
      }
      default -> {
        long target = r[o.second] + (o.code == MicroCode.JUMP_INDIRECT64 ? o.immediate : 0);
        long predicted = core.targets().predict(branch, thread, mode, level.history);
        if (o.code == MicroCode.CALL_INDIRECT64) {
          long at = level.ready[o.second];
          long next = r[Slot.BLOCK_START] + o.displacement;
          push(level, next, o, start, executes);
          returns.called(next);
          return go(depth, level, branch, predicted, target, Math.max(start, at) + 1, squash);
        }
        return go(depth, level, branch, predicted, target, start + 1, squash);
      }
    }
  }

  /** An indirect branch leads to its prediction, and to its target if that is known in time. */
  private int go(
      int depth,
      Level level,
      long branch,
      long predicted,
      long target,
      long resolved,
      long squash) {
    long to = predicted;
    if (resolved < squash && target != predicted) {
      if (predicted == TargetPredictor.NONE) {
        level.dispatched = Math.max(level.dispatched, resolved + refill);
      } else {
        nested(depth, branch, predicted, true, resolved);
      }
      to = target;
    }
    if (to == TargetPredictor.NONE) {
      return STOP;
    }
    level.history.taken(branch, to);
    level.state.rip = to;
    return LEFT;
  }
}
