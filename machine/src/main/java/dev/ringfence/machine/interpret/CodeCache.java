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
  private int blocks;
  private final List<Runnable> dropListeners = new ArrayList<>();

  /** Probes by RAM page and offset. */
  private final Map<Integer, Map<Integer, CodeProbe>> probes = new HashMap<>();

  /** Blocks kept before all are dropped; about 300 bytes of heap each. */
  private static final int MOST_BLOCKS = 400_000;

  private final TranslationMode translation;

  /** A cache of code that is translated as {@code mode} says. */
  public CodeCache(PhysicalMemory physical, TranslationMode mode) {
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
    if (++blocks > MOST_BLOCKS) {
      clear();
    }
    pageFor(ramPage).add(mode, offset, block);
    if (block.secondPage >= 0) {
      pageFor(block.secondPage).addEntering(block, offset + block.length() - 4096);
    }
  }

  private CodePage pageFor(int ramPage) {
    CodePage page = pages[ramPage];
    if (page == null) {
      page = new CodePage();
      pages[ramPage] = page;
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
    page.invalidate();
    pages[ramPage] = null;
    physical.setCodePage(ramPage, false);
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
    dropPage(ramPage);
  }

  /** Takes the probe of a physical address away. */
  public void clearProbe(long address) {
    int ramPage = physical.ramPage(address);
    Map<Integer, CodeProbe> ofPage = probes.get(ramPage);
    if (ofPage != null && ofPage.remove((int) address & 4095) != null) {
      dropPage(ramPage);
    }
  }

  private void dropPage(int ramPage) {
    CodePage page = pages[ramPage];
    if (page != null) {
      drop(ramPage, page);
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
    blocks = 0;
  }
}
