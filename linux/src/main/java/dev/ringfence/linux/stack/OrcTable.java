package dev.ringfence.linux.stack;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.image.Section;
import dev.ringfence.machine.BadInputException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * For each code address, where the frame of the caller is: the kernel's ORC tables (Linux,
 * Documentation/arch/x86/orc-unwinder.rst). They hold distances only, so a table of the image file
 * is valid wherever the kernel runs: {@link #relocated}.
 *
 * <p>Immutable; may be used by several threads.
 */
public final class OrcTable {
  private static final VarHandle INT =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle SHORT =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  /** Code behind the last entry that the entry is still for: a page. */
  private static final long BEHIND = 4096;

  private static final int MOST_ENTRIES = 50_000_000;

  /** The largest modules, drivers of graphics cards, have some 100,000. */
  private static final int MOST_MODULE_ENTRIES = 2_000_000;

  private final OrcLayout layout;

  /** Code address that {@link #starts} count from. */
  private final long base;

  private final int[] starts;
  private final short[] spOffsets;
  private final short[] bpOffsets;

  /** Low half: register of the stack pointer; high half: of the frame pointer. */
  private final byte[] registers;

  private final byte[] kinds;

  private OrcTable(
      OrcLayout layout,
      long base,
      int[] starts,
      short[] spOffsets,
      short[] bpOffsets,
      byte[] registers,
      byte[] kinds) {
    this.layout = layout;
    this.base = base;
    this.starts = starts;
    this.spOffsets = spOffsets;
    this.bpOffsets = bpOffsets;
    this.registers = registers;
    this.kinds = kinds;
  }

  /** Reads the numbers of a table, wherever it is. */
  private interface Source {
    int place(int index);

    short number(int index, int offset);
  }

  /**
   * The table of a kernel, at link addresses.
   *
   * @return empty if the kernel was built without (CONFIG_UNWINDER_FRAME_POINTER)
   * @throws BadInputException if the table is damaged
   */
  public static Optional<OrcTable> of(KernelImage image) {
    Section places =
        image
            .findArea(".orc_unwind_ip", "__start_orc_unwind_ip", "__stop_orc_unwind_ip")
            .filter(Section::hasContent)
            .orElse(null);
    Section entries =
        image
            .findArea(".orc_unwind", "__start_orc_unwind", "__stop_orc_unwind")
            .filter(Section::hasContent)
            .orElse(null);
    if (places == null || entries == null || places.size() == 0) {
      return Optional.empty();
    }
    OrcLayout fields = OrcLayout.of(image);
    long count = places.size() / Integer.BYTES;
    if (count > MOST_ENTRIES || entries.size() / fields.size() != count) {
      throw new BadInputException(
          "%s: expected as many entries in .orc_unwind as in .orc_unwind_ip, found %d of %d bytes and %d"
              .formatted(image.name(), entries.size() / fields.size(), fields.size(), count));
    }
    byte[] placeBytes = image.read(places.address(), (int) places.size());
    byte[] entryBytes = image.read(entries.address(), (int) entries.size());
    OrcLayout layout =
        fields.withNumbersOf(
            IntStream.range(0, (int) count)
                .map(index ->
                    (short) SHORT.get(entryBytes, index * fields.size() + fields.wordOffset())
                        & 0xffff));
    Source source =
        new Source() {
          @Override
          public int place(int index) {
            return (int) INT.get(placeBytes, index * Integer.BYTES);
          }

          @Override
          public short number(int index, int offset) {
            return (short) SHORT.get(entryBytes, index * layout.size() + offset);
          }
        };
    OrcTable table = read(layout, source, (int) count, places.address());
    if (table.starts.length == 0) {
      throw new BadInputException(
          "%s: expected .orc_unwind_ip to be sorted by address, found it unsorted"
              .formatted(image.name()));
    }
    return Optional.of(table);
  }

  /**
   * The table of a loaded module, at the addresses where it runs (Linux, struct module:
   * arch.orc_unwind_ip, arch.orc_unwind, arch.num_orcs).
   *
   * @return an empty table if the one in memory is not mapped, not sorted or of no plausible size
   */
  public OrcTable ofModule(KernelMemory memory, long places, long entries, int count) {
    boolean plausible =
        count > 0
            && count <= MOST_MODULE_ENTRIES
            && memory.isMapped(places)
            && memory.isMapped(entries);
    int entryCount = plausible ? count : 0;
    return read(
        layout,
        new Source() {
          @Override
          public int place(int index) {
            return memory.readInt(places + (long) index * Integer.BYTES);
          }

          @Override
          public short number(int index, int offset) {
            return memory.readShort(entries + (long) index * layout.size() + offset);
          }
        },
        entryCount,
        places);
  }

  /** Reads a table; an empty one if the addresses do not rise or span more than 2 GiB. */
  private static OrcTable read(OrcLayout layout, Source source, int count, long places) {
    int[] starts = new int[count];
    short[] spOffsets = new short[count];
    short[] bpOffsets = new short[count];
    byte[] registers = new byte[count];
    byte[] kinds = new byte[count];
    long base = count == 0 ? 0 : places + source.place(0);
    for (int i = 0; i < count; i++) {
      long distance = places + (long) i * Integer.BYTES + source.place(i) - base;
      if (distance < (i == 0 ? 0 : starts[i - 1]) || distance > Integer.MAX_VALUE) {
        return read(layout, source, 0, places);
      }
      starts[i] = (int) distance;
      spOffsets[i] = source.number(i, layout.spOffset());
      bpOffsets[i] = source.number(i, layout.bpOffset());
      int word = source.number(i, layout.wordOffset()) & 0xffff;
      registers[i] =
          (byte)
              (layout.register(layout.spRegister(), word)
                  | layout.register(layout.bpRegister(), word) << 4);
      kinds[i] = layout.kind(word);
    }
    return new OrcTable(layout, base, starts, spOffsets, bpOffsets, registers, kinds);
  }

  /**
   * The table of a kernel that runs elsewhere than where it was linked.
   *
   * @param delta running address less link address, in bytes
   */
  public OrcTable relocated(long delta) {
    return new OrcTable(layout, base + delta, starts, spOffsets, bpOffsets, registers, kinds);
  }

  /** Number of entries. */
  public int size() {
    return starts.length;
  }

  /** The lowest code address that it has an entry for. */
  public long firstAddress() {
    return base;
  }

  /**
   * The entry for a code address: the last one at or before it, as the kernel chooses.
   *
   * @return -1 if the table does not reach to the address
   */
  int find(long address) {
    long distance = address - base;
    int count = starts.length;
    if (count == 0 || distance < 0 || distance > starts[count - 1] + BEHIND) {
      return -1;
    }
    int low = 0;
    int high = count;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (starts[middle] <= distance) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low - 1;
  }

  /** What kind of frame: the constants of {@link OrcLayout}. */
  byte kind(int entry) {
    return kinds[entry];
  }

  int spRegister(int entry) {
    return registers[entry] & 0xf;
  }

  int bpRegister(int entry) {
    return registers[entry] >> 4 & 0xf;
  }

  int spOffset(int entry) {
    return spOffsets[entry];
  }

  int bpOffset(int entry) {
    return bpOffsets[entry];
  }
}
