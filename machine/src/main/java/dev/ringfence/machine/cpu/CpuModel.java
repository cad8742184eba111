package dev.ringfence.machine.cpu;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import dev.ringfence.machine.input.YamlNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A processor model: identification, features and limits, read from a data file. */
public final class CpuModel {
  /** The model that a machine has unless told otherwise. */
  public static final String DEFAULT = "skylake-server";

  private static final List<String> BUILT_IN =
      List.of(
          "haswell-server",
          "skylake-server",
          "cascadelake-server",
          "icelake-server",
          "sapphirerapids",
          "zen1",
          "zen2",
          "zen4",
          "westmere-server",
          "ideal");

  /** What a cache holds. */
  public enum CacheType {
    DATA("data", 1),
    INSTRUCTION("instruction", 2),
    UNIFIED("unified", 3);

    private final String id;
    private final int code;

    CacheType(String id, int code) {
      this.id = id;
      this.code = code;
    }

    /** The word for it in a model's file. */
    public String id() {
      return id;
    }

    /** Its number in CPUID leaf 4 (SDM volume 2). */
    int code() {
      return code;
    }
  }

  /**
   * One cache of the hierarchy, as CPUID leaf 4 reports it.
   *
   * @param level 1 is nearest to the core; levels from 3 on are shared by all cores
   * @param inclusive whether it holds all that the levels above it hold
   */
  public record Cache(
      int level, CacheType type, int lineBytes, int ways, int sets, boolean inclusive) {
    /** Its size. */
    public int bytes() {
      return lineBytes * ways * sets;
    }
  }

  /** The values of a model's file, checked. */
  record Data(
      String name,
      String vendor,
      int family,
      int model,
      int stepping,
      String brand,
      int physicalAddressBits,
      long tscHertz,
      long crystalHertz,
      long busHertz,
      long maximumHertz,
      Set<String> features,
      List<Cache> caches,
      byte[] cacheDescriptors,
      Map<String, Long> registers,
      Optional<YamlNode> silicon) {}

  private final Data data;
  private final Cpuid cpuid;
  private final long cr4Mask;
  private final long eferMask;

  CpuModel(Data data) {
    this.data = data;
    this.cpuid = new Cpuid(data, isAmd());
    long cr4 = ControlBits.CR4_TSD;
    cr4 |= has("DE") ? ControlBits.CR4_DE : 0;
    cr4 |= has("PSE") ? ControlBits.CR4_PSE : 0;
    cr4 |= has("PAE") ? ControlBits.CR4_PAE : 0;
    cr4 |= has("MCE") ? ControlBits.CR4_MCE : 0;
    cr4 |= has("PGE") ? ControlBits.CR4_PGE : 0;
    cr4 |= ControlBits.CR4_PCE;
    cr4 |= has("FXSR") ? ControlBits.CR4_OSFXSR : 0;
    cr4 |= has("SSE") ? ControlBits.CR4_OSXMMEXCPT : 0;
    cr4 |= has("UMIP") ? ControlBits.CR4_UMIP : 0;
    cr4 |= has("VMX") ? ControlBits.CR4_VMXE : 0;
    cr4 |= has("FSGSBASE") ? ControlBits.CR4_FSGSBASE : 0;
    cr4 |= has("PCID") ? ControlBits.CR4_PCIDE : 0;
    cr4 |= has("XSAVE") ? ControlBits.CR4_OSXSAVE : 0;
    cr4 |= has("SMEP") ? ControlBits.CR4_SMEP : 0;
    cr4 |= has("SMAP") ? ControlBits.CR4_SMAP : 0;
    this.cr4Mask = cr4;
    this.eferMask =
        (has("SYSCALL") ? ControlBits.EFER_SCE : 0)
            | (has("Intel-64") ? ControlBits.EFER_LME : 0)
            | (has("NX") ? ControlBits.EFER_NXE : 0)
            | (has("AutoIBRS") ? ControlBits.EFER_AIBRSE : 0);
  }

  /** Names of the models that come with Ringfence. */
  public static List<String> available() {
    return BUILT_IN;
  }

  /** The JSON schema of the files of models. */
  public static String schema() {
    return resource("cpu-model.schema.json");
  }

  private static String resource(String file) {
    try (InputStream in = CpuModel.class.getResourceAsStream("models/" + file)) {
      if (in == null) {
        throw new IllegalStateException(file + " is missing from the build");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /**
   * Loads a model.
   *
   * @param nameOrPath one of {@link #available}, or the path of a YAML file
   * @throws BadInputException if there is none, or its file is not a valid model
   */
  public static CpuModel load(String nameOrPath) {
    if (BUILT_IN.contains(nameOrPath)) {
      String file = nameOrPath + ".yaml";
      return CpuModelReader.read(resource(file), file);
    }
    Path path = Path.of(nameOrPath);
    if (!Files.isRegularFile(path)) {
      throw new BadInputException(
          "CPU model "
              + nameOrPath
              + ": expected one of "
              + String.join(", ", BUILT_IN)
              + " or the path of a YAML file, found neither"
              + NearestNames.hint(nameOrPath, BUILT_IN));
    }
    try {
      return CpuModelReader.read(YamlNode.decode(Files.readAllBytes(path), nameOrPath), nameOrPath);
    } catch (IOException e) {
      throw new BadInputException(nameOrPath + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /** Name of the model, for example "skylake-server". */
  public String name() {
    return data.name();
  }

  /** The vendor's 12 characters in CPUID leaf 0, for example "GenuineIntel". */
  public String vendor() {
    return data.vendor();
  }

  /** Whether AMD's manual describes what the vendors do differently, instead of Intel's. */
  public boolean isAmd() {
    return data.vendor().equals("AuthenticAMD");
  }

  /** Whether VERW with an operand in memory overwrites buffers. */
  public boolean clearsBuffers() {
    return has("MD_CLEAR") || has("VERW_CLEAR");
  }

  /** The caches, nearest first. */
  public List<Cache> caches() {
    return data.caches();
  }

  /**
   * The section {@code silicon} of the model's file: what architecture hides. The machine does not
   * interpret it.
   */
  public Optional<YamlNode> silicon() {
    return data.silicon();
  }

  /** Whether the model has a CPUID feature, by the SDM's name, for example "SSE4.1". */
  public boolean has(String feature) {
    return data.features().contains(feature);
  }

  /** Names of all features of the model. */
  public Set<String> features() {
    return data.features();
  }

  /** Ticks of the time-stamp counter in one second. */
  public long tscHertz() {
    return data.tscHertz();
  }

  /** Frequency of the core crystal clock, which also drives the local APIC's timer. */
  public long crystalHertz() {
    return data.crystalHertz();
  }

  /** MAXPHYADDR. */
  public int physicalAddressBits() {
    return data.physicalAddressBits();
  }

  /** The bits that a physical address can have. */
  public long physicalAddressMask() {
    return (1L << data.physicalAddressBits()) - 1;
  }

  /** Family, model and stepping as CPUID leaf 1 returns them in EAX, and EDX holds after reset. */
  public int signature() {
    return cpuid.signature();
  }

  /** The family that the signature encodes, for example 6. */
  int family() {
    return data.family();
  }

  /** The model that the signature encodes, for example 55H. */
  int modelNumber() {
    return data.model();
  }

  /** Bits that CR4 can have. */
  public long cr4Mask() {
    return cr4Mask;
  }

  /** Bits of IA32_EFER that software can set. */
  public long eferMask() {
    return eferMask;
  }

  /** State components that XCR0 can enable: x87 and SSE. */
  long xcr0Mask() {
    return 3;
  }

  /** Value of a model-specific register after power-up. */
  long resetValue(String register) {
    return data.registers().getOrDefault(register, 0L);
  }

  /** CPUID: EAX, EBX, ECX and EDX of a leaf, as the processor in its present state returns them. */
  public int[] cpuid(Processor processor, int leaf, int subleaf) {
    return cpuid.leaf(processor, leaf, subleaf);
  }
}
