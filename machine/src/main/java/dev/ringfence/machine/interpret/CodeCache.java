package dev.ringfence.machine.interpret;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.probe.CodeProbe;
import dev.ringfence.machine.translate.TranslationMode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Decoded code of all processors, by page of RAM. A page that holds decoded code is marked in
 * physical memory, so that every store to it, by processors or devices, comes here first;
 * overwritten blocks are dropped before the bytes change.
 */
public final class CodeCache implements PhysicalMemory.CodeGate {
  private final PhysicalMemory physical;
  private final @Nullable CodePage[] pages;
  private final List<TranslatedMemory> processors = new ArrayList<>();
  private final List<Runnable> dropListeners = new ArrayList<>();

  /** Probes by RAM page and offset. */
  private final Map<Integer, Map<Integer, CodeProbe>> probes = new HashMap<>();

  /** A few dozens of regions. */
  private static final long LEAST_BYTECODE = 64 << 10;

  private final TranslationMode translation;
  private final long mostHeapBytes;
  private long mostBytecode;

  /** Of all pages. */
  private long heapBytes;

  /** Bytes of the bytecode that has been installed since all was dropped. */
  private long bytecode;

  /** Whether the JVM had no room for a translation since all was dropped. */
  private boolean exhausted;

  private long overflows;
  private long coldDrops;

  /**
   * What is kept before cold code is dropped, or all if that does not suffice. A drop costs the
   * guest nothing but time; with a bound for the whole, no use of memory by the guest can make it
   * much more expensive than that.
   *
   * @param heapBytes of decoded code, estimated. A guest of a few hundred pages of code has some 30
   *     MiB
   * @param bytecode bytes of translations, of all processors; HotSpot makes some eight bytes of
   *     machine code from one. The boot of a Linux has 2 MB
   */
  public record Limits(long heapBytes, long bytecode) {
    /** For a heap of 1 GiB and HotSpot's standard code cache of 240 MiB. */
    public static final Limits STANDARD = new Limits(320L << 20, 24L << 20);
  }

  /** A cache of code that is translated as {@code mode} says. */
  public CodeCache(PhysicalMemory physical, TranslationMode mode) {
    this(physical, mode, Limits.STANDARD);
  }

  /** A cache with limits of its own. */
  public CodeCache(PhysicalMemory physical, TranslationMode mode, Limits limits) {
    this.mostHeapBytes = limits.heapBytes;
    this.mostBytecode = limits.bytecode;
    this.translation = mode;
    this.physical = physical;
    this.pages = new CodePage[physical.ramPages()];
    physical.setCodeGate(this);
  }

  TranslationMode translation() {
    return translation;
  }

  /** Adds the memory of a processor, whose stores must pass the gate. */
  public void attach(TranslatedMemory memory) {
    processors.add(memory);
    memory.setCodeGate(this);
  }

  @Nullable CodePage page(int ramPage) {
    return pages[ramPage];
  }

  /** Adds a block that starts in {@code ramPage} at {@code offset}. */
  void add(int ramPage, int mode, int offset, Block block) {
    trim();
    CodePage page = pageFor(ramPage);
    heapBytes -= page.heapBytes();
    page.add(mode, offset, block);
    heapBytes += page.heapBytes();
    if (block.secondPage >= 0) {
      pageFor(block.secondPage).addEntering(block, offset + block.length() - 4096);
    }
  }

  private CodePage pageFor(int ramPage) {
    CodePage page = pages[ramPage];
    if (page == null) {
      page = new CodePage();
      pages[ramPage] = page;
      heapBytes += page.heapBytes();
      physical.setCodePage(ramPage, true);
      long hostPage = physical.hostAddressOfPage(ramPage);
      for (TranslatedMemory memory : processors) {
        memory.protectCode(hostPage);
      }
    }
    return page;
  }

  @Override
  public void codeOverwritten(long address, int length) {
    int ramPage = physical.ramPage(address);
    CodePage page = pages[ramPage];
    if (page != null && page.holdsCode((int) address & 4095, length)) {
      drop(ramPage, page);
    }
  }

  @Override
  public boolean holdsCode(long address, int length) {
    CodePage page = pages[physical.ramPage(address)];
    return page != null && page.holdsCode((int) address & 4095, length);
  }

  /** Sets who else is told that code has been dropped: whoever keeps blocks. */
  void onDrop(Runnable listener) {
    dropListeners.add(listener);
  }

  private void drop(int ramPage, CodePage page) {
    remove(ramPage, page);
    tellDropped();
  }

  private void remove(int ramPage, CodePage page) {
    page.invalidate();
    pages[ramPage] = null;
    heapBytes -= page.heapBytes();
    physical.setCodePage(ramPage, false);
  }

  private void tellDropped() {
    for (TranslatedMemory memory : processors) {
      memory.leaveBlock = true;
    }
    for (Runnable listener : dropListeners) {
      listener.run();
    }
  }

  /** Sets what is called before the instruction at a physical address, which is RAM. */
  public void setProbe(long address, CodeProbe probe) {
    int ramPage = physical.ramPage(address);
    probes.computeIfAbsent(ramPage, page -> new HashMap<>()).put((int) address & 4095, probe);
    dropInstruction(ramPage, (int) address & 4095);
  }

  /** Takes the probe of a physical address away. */
  public void clearProbe(long address) {
    int ramPage = physical.ramPage(address);
    Map<Integer, CodeProbe> ofPage = probes.get(ramPage);
    if (ofPage != null && ofPage.remove((int) address & 4095) != null) {
      dropInstruction(ramPage, (int) address & 4095);
    }
  }

  private void clearProbes() {
    List<Long> addresses = new ArrayList<>();
    probes.forEach((ramPage, ofPage) ->
        ofPage.keySet().forEach(offset -> addresses.add(physical.addressOfPage(ramPage) + offset)));
    addresses.forEach(this::clearProbe);
  }

  /**
   * Drops what executes one instruction. The rest of its page stays: probes are set in the hottest
   * pages of a kernel while it runs.
   */
  private void dropInstruction(int ramPage, int offset) {
    CodePage page = pages[ramPage];
    if (page != null) {
      heapBytes -= page.heapBytes();
      page.dropInstruction(offset);
      heapBytes += page.heapBytes();
      tellDropped();
    }
  }

  /** The probes of a RAM page, by offset. */
  Map<Integer, CodeProbe> probes(int ramPage) {
    return probes.isEmpty() ? Map.of() : probes.getOrDefault(ramPage, Map.of());
  }

  /** Drops all blocks. */
  public void clear() {
    for (int i = 0; i < pages.length; i++) {
      CodePage page = pages[i];
      if (page != null) {
        drop(i, page);
      }
    }
    bytecode = 0;
  }

  /** Translations have been installed. */
  void translated(long bytes) {
    bytecode += bytes;
  }

  /**
   * The JVM could not hold what was translated: the next {@link #trim} drops all, and from then on
   * the limit is half of what was held.
   */
  void exhausted() {
    mostBytecode = (bytecode > 0 ? Math.min(mostBytecode, bytecode) : mostBytecode) / 2;
    exhausted = true;
  }

  /** Whether code may be translated; no longer when the JVM was exhausted again and again. */
  boolean mayTranslate() {
    return mostBytecode >= LEAST_BYTECODE;
  }

  /** Drops blocks if they exceed the limits. Nobody may be about to execute one. */
  void trim() {
    if (exhausted || bytecode > mostBytecode) {
      exhausted = false;
      overflows++;
      clear();
    } else if (heapBytes > mostHeapBytes) {
      dropCold();
      if (heapBytes > mostHeapBytes / 4 * 3) {
        overflows++;
        clear();
      }
    }
  }

  /**
   * Takes all probes away, and drops cold code if there is much. Machines that are used again share
   * a heap, and what one has found only on wrong paths the other will hardly need.
   */
  public void recycle() {
    clearProbes();
    if (heapBytes > mostHeapBytes / 3) {
      dropCold();
    }
  }

  /**
   * Drops what was executed a few times only. Of a compiler's millions of instructions most are
   * like that, and they would take the translations of the others with them.
   */
  private void dropCold() {
    coldDrops++;
    for (int i = 0; i < pages.length; i++) {
      CodePage page = pages[i];
      if (page != null) {
        heapBytes -= page.heapBytes();
        page.dropCold();
        heapBytes += page.heapBytes();
        if (page.isEmpty()) {
          remove(i, page);
        }
      }
    }
    tellDropped();
  }

  /** How often cold code was dropped because there was too much code. */
  public long coldDrops() {
    return coldDrops;
  }

  /** How often all code was dropped because there was too much of it. */
  public long overflows() {
    return overflows;
  }
}
