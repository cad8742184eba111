package dev.ringfence.machine.inspect;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.decode.Decoder;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.InstructionTable;
import dev.ringfence.machine.interpret.RegionReader;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.translate.BytecodeListing;
import dev.ringfence.machine.translate.Region;
import dev.ringfence.machine.translate.RegionBlock;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.function.LongFunction;

/**
 * Three views of guest code, interleaved: each instruction, under it its micro-operations, under
 * each of these its bytecode.
 */
public final class RegionListing {
  private static final String BYTECODE = " ".repeat(10);

  private final Region region;
  private final BytecodeListing bytecode;
  private final Decoder decoder = new Decoder(InstructionTable.standard());

  /** The bytes of the page. */
  private final byte[] code;

  private final int codeWidth;
  private final long page;
  private final LongFunction<String> naming;
  private final List<String> lines = new ArrayList<>();

  private RegionListing(
      Region region,
      BytecodeListing bytecode,
      byte[] code,
      int codeWidth,
      long page,
      LongFunction<String> naming) {
    this.code = code;
    this.codeWidth = codeWidth;
    this.region = region;
    this.bytecode = bytecode;
    this.page = page;
    this.naming = naming;
  }

  /**
   * Lists the region around an address. Nothing is executed, and the machine does not change.
   *
   * @param processor whose register file and tables the code would use
   * @param linear the address of an instruction
   * @param physical where it is in RAM
   * @param nextPage physical address of the linear page that follows, or -1
   * @param codeWidth 16, 32 or 64
   * @param naming what people call an address
   */
  public static List<String> of(
      Processor processor,
      long linear,
      long physical,
      long nextPage,
      int codeWidth,
      LongFunction<String> naming) {
    Region region =
        RegionReader.read(
            processor.physical(), processor.model(), physical, codeWidth, codeWidth, nextPage);
    BytecodeListing bytecode = BytecodeListing.of(region, processor, SlotNames::of);
    byte[] code = new byte[4096];
    processor.physical().read(physical & -4096, code, 0, code.length);
    RegionListing listing =
        new RegionListing(region, bytecode, code, codeWidth, linear & -4096, naming);
    listing.list(linear);
    return List.copyOf(listing.lines);
  }

  private void list(long asked) {
    int instructions = region.blocks().stream().mapToInt(RegionBlock::instructions).sum();
    int operations = region.blocks().stream().mapToInt(block -> block.operations().length).sum();
    lines.add(
        String.format(
            Locale.ROOT,
            "region of %s: %,d blocks, %,d instructions, %,d micro-operations, %,d bytes of"
                + " bytecode%s",
            naming.apply(asked),
            region.blocks().size(),
            instructions,
            operations,
            bytecode.bytes(),
            bytecode.tooLarge() ? ", too many to be used" : ""));
    lines.add("entries");
    addBytecode(bytecode.entries());
    for (int b = 0; b < region.blocks().size(); b++) {
      listBlock(b);
    }
    lines.add("exits");
    addBytecode(bytecode.exits());
  }

  private void listBlock(int index) {
    RegionBlock block = region.blocks().get(index);
    long start = page + block.offset();
    lines.add("");
    lines.add("block %s".formatted(naming.apply(start)));
    addBytecode(bytecode.block(index));
    MicroOperation[] operations = block.operations();
    int at = 0;
    int next = 0;
    for (int ordinal = 0; ordinal < block.instructions(); ordinal++) {
      boolean silent = next == operations.length || operations[next].ordinal != ordinal;
      Instruction instruction = silent ? decode(block.offset() + at) : operations[next].instruction;
      long address = start + at;
      lines.add(
          "  %x  %-24s  %s"
              .formatted(
                  address,
                  HexFormat.ofDelimiter(" ").formatHex(instruction.bytes()),
                  InstructionText.of(instruction, address)));
      while (next < operations.length && operations[next].ordinal == ordinal) {
        lines.add("      " + OperationText.of(operations[next]));
        addBytecode(bytecode.operation(index, next));
        next++;
      }
      at += instruction.length();
    }
  }

  /** An instruction that has no operations, as NOP, so none carries it. */
  private Instruction decode(int offset) {
    try {
      return decoder.decode(code, offset, code.length, codeWidth);
    } catch (Decoder.DecodeException e) {
      throw new IllegalStateException("an instruction of a block cannot be decoded", e);
    }
  }

  private void addBytecode(List<String> text) {
    text.forEach(line -> lines.add(BYTECODE + line));
  }
}
