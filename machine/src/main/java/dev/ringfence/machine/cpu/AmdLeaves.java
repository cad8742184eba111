package dev.ringfence.machine.cpu;

import dev.ringfence.machine.cpu.CpuModel.CacheType;

/**
 * The leaves of CPUID that AMD processors have and Intel's do not, or not so (APM volume 3,
 * appendix E.4). The processors of a machine are the cores of one package, each with one thread.
 */
final class AmdLeaves {
  static final int LAST_BASIC = 0x10;
  static final int LAST_EXTENDED = 0x80000021;

  private static final int EAX = 0;
  private static final int EBX = 1;
  private static final int ECX = 2;
  private static final int EDX = 3;

  /** Bits of leaf 1 EDX that leaf 80000001H repeats. */
  private static final int REPEATED = 0x0183f3ff;

  private static final int CMP_LEGACY = 1 << 1;

  private final CpuModel.Data data;

  AmdLeaves(CpuModel.Data data) {
    this.data = data;
  }

  /**
   * Completes a leaf.
   *
   * @param basicEdx EDX of leaf 1
   * @param result bits of the leaf's features
   */
  void complete(Processor processor, int leaf, int subleaf, int basicEdx, int[] result) {
    switch (leaf) {
      case 0x80000001 -> {
        result[EAX] = processor.model().signature();
        result[EDX] |= basicEdx & REPEATED;
        if (processor.count() > 1) {
          result[ECX] |= CMP_LEGACY;
        }
      }
      case 0x80000005 -> {
        result[ECX] = firstLevel(CacheType.DATA);
        result[EDX] = firstLevel(CacheType.INSTRUCTION);
      }
      case 0x80000006 -> {
        // One line per tag.
        result[ECX] |= 1 << 8;
        result[EDX] = thirdLevel();
      }
      case 0x80000008 ->
          result[ECX] = identifierBits(processor) << 12 | processor.count() - 1 & 0xff;
      case 0x8000001d -> cache(processor, subleaf, result);
      case 0x8000001e -> {
        if (data.features().contains("TopologyExtensions")) {
          result[EAX] = processor.index();
          result[EBX] = processor.index() & 0xff;
        }
      }
      default -> {}
    }
  }

  private static int identifierBits(Processor processor) {
    return Integer.numberOfTrailingZeros(Cpuid.addressableIds(processor.count()));
  }

  private int firstLevel(CacheType type) {
    for (CpuModel.Cache cache : data.caches()) {
      if (cache.level() == 1 && cache.type() == type) {
        return cache.bytes() >> 10 << 24 | cache.ways() << 16 | 1 << 8 | cache.lineBytes();
      }
    }
    return 0;
  }

  private int thirdLevel() {
    for (CpuModel.Cache cache : data.caches()) {
      if (cache.level() == 3) {
        // The size is in units of 512 KiB.
        return cache.bytes() >> 19 << 18
            | Cpuid.associativity(cache.ways()) << 12
            | 1 << 8
            | cache.lineBytes();
      }
    }
    return 0;
  }

  private void cache(Processor processor, int subleaf, int[] result) {
    if (data.features().contains("TopologyExtensions")) {
      Cpuid.cache(data, processor, subleaf, result);
      // Intel's count of cores in the package has no place here.
      result[EAX] &= 0x03ffffff;
    }
  }
}
