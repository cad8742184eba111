package dev.ringfence.machine.cpu;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The leaves of the CPUID instruction (SDM volume 2, CPUID) for one model; {@link AmdLeaves} has
 * what AMD does differently.
 */
final class Cpuid {
  private static final int EAX = 0;
  private static final int EBX = 1;
  private static final int ECX = 2;
  private static final int EDX = 3;

  private static final int LAST_BASIC = 0x16;
  private static final int LAST_EXTENDED = 0x80000008;

  /** HLE and RTM in leaf 7 EBX. */
  private static final int TRANSACTIONS = 1 << 4 | 1 << 11;

  /** Bytes of the XSAVE area for x87 and SSE: legacy region and header. */
  private static final int XSAVE_BYTES = 576;

  private final CpuModel.Data data;
  private final Map<Long, int[]> featureBits = new HashMap<>();
  private final @Nullable AmdLeaves amd;

  Cpuid(CpuModel.Data data, boolean amd) {
    this.data = data;
    this.amd = amd ? new AmdLeaves(data) : null;
    for (String name : data.features()) {
      Feature feature = Feature.of(name).orElseThrow();
      bits(feature.leaf(), feature.subleaf())[feature.register()] |= 1 << feature.bit();
    }
  }

  private int[] bits(int leaf, int subleaf) {
    return featureBits.computeIfAbsent(key(leaf, subleaf), key -> new int[4]);
  }

  private static long key(int leaf, int subleaf) {
    return (long) leaf << 32 | Integer.toUnsignedLong(subleaf);
  }

  private boolean has(String feature) {
    return data.features().contains(feature);
  }

  int signature() {
    int family = Math.min(data.family(), 15);
    int extendedFamily = data.family() - family;
    return extendedFamily << 20
        | (data.model() >> 4) << 16
        | family << 8
        | (data.model() & 15) << 4
        | data.stepping();
  }

  int[] leaf(Processor processor, int requested, int subleaf) {
    int leaf = requested;
    boolean extended = requested < 0;
    if (extended ? requested > lastExtended() : requested > lastBasic()) {
      if (amd != null) {
        return new int[4];
      }
      // Beyond the last leaf Intel processors return the last basic one.
      leaf = LAST_BASIC;
    }
    // Only these leaves look at ECX; the others give the same for any value.
    int index = leaf == 7 || leaf == 0xd ? subleaf : 0;
    int[] result = featureBits.getOrDefault(key(leaf, index), new int[4]).clone();
    common(processor, leaf, subleaf, result);
    if (amd != null) {
      amd.complete(processor, leaf, subleaf, bits(1, 0)[EDX], result);
    } else {
      intel(processor, leaf, subleaf, result);
    }
    return result;
  }

  private int lastBasic() {
    return amd == null ? LAST_BASIC : AmdLeaves.LAST_BASIC;
  }

  private int lastExtended() {
    return amd == null ? LAST_EXTENDED : AmdLeaves.LAST_EXTENDED;
  }

  private void common(Processor processor, int leaf, int subleaf, int[] result) {
    switch (leaf) {
      case 0 -> {
        result[EAX] = lastBasic();
        byte[] vendor = data.vendor().getBytes(StandardCharsets.US_ASCII);
        result[EBX] = word(vendor, 0);
        result[EDX] = word(vendor, 4);
        result[ECX] = word(vendor, 8);
      }
      case 1 -> version(processor, result);
      case 7 -> {
        if (subleaf == 0) {
          result[EAX] = lastSubleafOfFeatures();
          if (ModelSpecificRegisters.speculation().hidesTransactions(processor.state())) {
            result[EBX] &= ~TRANSACTIONS;
          }
        }
      }
      case 0xb -> topology(processor, subleaf, result);
      case 0xd -> extendedState(processor, subleaf, result);
      case 0x80000000 -> result[EAX] = lastExtended();
      case 0x80000002, 0x80000003, 0x80000004 -> brand(leaf - 0x80000002, result);
      case 0x80000006 -> levelTwo(result);
      case 0x80000008 -> result[EAX] = 48 << 8 | data.physicalAddressBits();
      default -> {}
    }
  }

  private void intel(Processor processor, int leaf, int subleaf, int[] result) {
    switch (leaf) {
      case 2 -> cacheDescriptors(result);
      case 4 -> cache(data, processor, subleaf, result);
      case 0x15 -> {
        // TSC = crystal * EBX / EAX.
        result[EAX] = 2;
        result[EBX] = (int) (data.tscHertz() * 2 / data.crystalHertz());
        result[ECX] = (int) data.crystalHertz();
      }
      case 0x16 -> {
        result[EAX] = (int) (data.tscHertz() / 1_000_000);
        result[EBX] = (int) (data.maximumHertz() / 1_000_000);
        result[ECX] = (int) (data.busHertz() / 1_000_000);
      }
      case 0x80000001 -> {
        if (!processor.state().code64()) {
          // SYSCALL is reported where it is valid: in 64-bit mode.
          result[EDX] &= ~(1 << 11);
        }
      }
      default -> {}
    }
  }

  /** The last subleaf of leaf 7 that has a feature. */
  private int lastSubleafOfFeatures() {
    int last = 0;
    for (String name : data.features()) {
      Feature feature = Feature.of(name).orElseThrow();
      if (feature.leaf() == 7) {
        last = Math.max(last, feature.subleaf());
      }
    }
    return last;
  }

  private void version(Processor processor, int[] result) {
    ProcessorState state = processor.state();
    result[EAX] = signature();
    int clflush = has("CLFSH") ? 8 : 0; // in quadwords
    result[EBX] = processor.index() << 24 | addressableIds(processor.count()) << 16 | clflush << 8;
    if ((state.cr4 & ControlBits.CR4_OSXSAVE) != 0) {
      result[ECX] |= 1 << 27;
    }
    if ((processor.apic().base() >>> 11 & 1) == 0) {
      result[EDX] &= ~(1 << 9);
    }
    if (processor.count() == 1) {
      result[EDX] &= ~(1 << 28);
    }
  }

  /** Logical processors of the package, rounded up to a power of two: the APIC IDs set aside. */
  static int addressableIds(int count) {
    return count <= 1 ? 1 : Integer.highestOneBit(count - 1) << 1;
  }

  private void cacheDescriptors(int[] result) {
    byte[] descriptors = data.cacheDescriptors();
    byte[] all = new byte[16];
    System.arraycopy(descriptors, 0, all, 1, descriptors.length);
    all[0] = 1; // one execution of the leaf gives all
    for (int i = 0; i < 4; i++) {
      result[i] = word(all, 4 * i);
    }
  }

  /** A cache in the form of leaf 4. */
  static void cache(CpuModel.Data data, Processor processor, int subleaf, int[] result) {
    if (subleaf < 0 || subleaf >= data.caches().size()) {
      return;
    }
    CpuModel.Cache cache = data.caches().get(subleaf);
    int ids = addressableIds(processor.count());
    int sharing = cache.level() >= 3 ? ids : 1;
    result[EAX] =
        ids - 1 << 26 | sharing - 1 << 14 | 1 << 8 | cache.level() << 5 | cache.type().code();
    result[EBX] = cache.ways() - 1 << 22 | cache.lineBytes() - 1;
    result[ECX] = cache.sets() - 1;
    result[EDX] = cache.inclusive() ? 2 : 0;
  }

  /** The processors of a machine are the cores of one package, each with one thread. */
  private static void topology(Processor processor, int subleaf, int[] result) {
    result[ECX] = subleaf & 0xff;
    result[EDX] = processor.index();
    if (subleaf == 0) {
      result[EBX] = 1;
      result[ECX] |= 1 << 8; // level type: SMT
    } else if (subleaf == 1) {
      int ids = addressableIds(processor.count());
      result[EAX] = Integer.numberOfTrailingZeros(ids);
      result[EBX] = processor.count();
      result[ECX] |= 2 << 8; // level type: core
    }
  }

  private void extendedState(Processor processor, int subleaf, int[] result) {
    if (!has("XSAVE") || subleaf > 1 || subleaf < 0) {
      return;
    }
    if (subleaf == 0) {
      result[EAX] = (int) processor.model().xcr0Mask();
      result[EBX] = XSAVE_BYTES;
      result[ECX] = XSAVE_BYTES;
    }
  }

  private void brand(int part, int[] result) {
    byte[] text = new byte[48];
    byte[] brand = data.brand().getBytes(StandardCharsets.US_ASCII);
    System.arraycopy(brand, 0, text, 0, brand.length);
    for (int i = 0; i < 4; i++) {
      result[i] = word(text, 16 * part + 4 * i);
    }
  }

  private void levelTwo(int[] result) {
    for (CpuModel.Cache cache : data.caches()) {
      if (cache.level() == 2) {
        int kilobytes = cache.bytes() >> 10;
        result[ECX] = kilobytes << 16 | associativity(cache.ways()) << 12 | cache.lineBytes();
      }
    }
  }

  static int associativity(int ways) {
    return switch (ways) {
      case 1, 2, 4 -> ways;
      case 8 -> 6;
      case 16 -> 8;
      default -> 0xf;
    };
  }

  private static int word(byte[] bytes, int offset) {
    return bytes[offset] & 0xff
        | (bytes[offset + 1] & 0xff) << 8
        | (bytes[offset + 2] & 0xff) << 16
        | bytes[offset + 3] << 24;
  }
}
