package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.paging.TranslatedMemory;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.CodeBuilder;
import java.lang.classfile.Label;
import java.lang.classfile.attribute.CodeAttribute;
import java.lang.classfile.instruction.SwitchCase;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.MethodTypeDesc;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Makes the class file of a region: one method with a label for each block, jumps between them, and
 * a switch over entries. Each block takes its instructions from what remains before it begins, and
 * goes out if they do not suffice; so a run ends at the same instruction as the interpreter's.
 */
final class RegionCompiler {
  /** HotSpot never compiles a method that is larger (HugeMethodLimit). */
  static final int HUGE_METHOD = 8000;

  private static final ClassDesc SUPERCLASS =
      TranslatedCode.class.describeConstable().orElseThrow();

  private static final MethodTypeDesc RUN =
      MethodTypeDesc.of(
          ConstantDescs.CD_int, ConstantDescs.CD_int, ConstantDescs.CD_long, ConstantDescs.CD_int);

  /**
   * Compiled regions.
   *
   * @param classFile of a subclass of {@link TranslatedCode}
   * @param constants its class data
   * @param methodBytes of bytecode of each region
   */
  record Result(byte[] classFile, List<Object> constants, List<Integer> methodBytes) {}

  private final Region region;
  private final Processor processor;
  private final Execution execution;
  private final Constants constants;
  private final List<Label> labels = new ArrayList<>();
  private final List<Runnable> stubs = new ArrayList<>();
  private final long[] liveIn;
  private final @Nullable LineNumbers lines;
  private final CodeBuilder code;
  private final Label exit;

  private RegionCompiler(
      Region region,
      Processor processor,
      Execution execution,
      Constants constants,
      @Nullable LineNumbers lines,
      CodeBuilder code) {
    this.region = region;
    this.processor = processor;
    this.execution = execution;
    this.constants = constants;
    this.lines = lines;
    this.liveIn = liveIn(region);
    this.code = code;
    this.exit = code.newLabel();
  }

  /** Compiles regions for one processor, each to a method of its own. */
  static Result compile(List<Region> regions, Processor processor, Execution execution) {
    return compile(regions, processor, execution, null);
  }

  /**
   * Compiles regions for one processor, each to a method of its own.
   *
   * @param lines which tell the operation of each instruction of bytecode, or null to leave them
   *     out
   */
  static Result compile(
      List<Region> regions, Processor processor, Execution execution, @Nullable LineNumbers lines) {
    ClassDesc name = ClassDesc.of(RegionCompiler.class.getPackageName(), "Region");
    // A builder may be asked to emit a method twice, for wide jumps; what it adds stays the same.
    Constants constants = new Constants();
    byte[] classFile =
        ClassFile.of(
                lines == null
                    ? ClassFile.DebugElementsOption.DROP_DEBUG
                    : ClassFile.DebugElementsOption.PASS_DEBUG)
            .build(
                name,
                type -> {
                  type.withFlags(ClassFile.ACC_FINAL)
                      .withSuperclass(SUPERCLASS)
                      .withMethodBody(
                          ConstantDescs.INIT_NAME,
                          ConstantDescs.MTD_void,
                          0,
                          body ->
                              body.aload(0)
                                  .invokespecial(
                                      SUPERCLASS, ConstantDescs.INIT_NAME, ConstantDescs.MTD_void)
                                  .return_())
                      .withMethodBody(
                          "run", RUN, ClassFile.ACC_PUBLIC, body -> dispatch(body, name, regions));
                  for (int i = 0; i < regions.size(); i++) {
                    Region region = regions.get(i);
                    type.withMethodBody(
                        methodName(i),
                        RUN,
                        ClassFile.ACC_PRIVATE,
                        body ->
                            new RegionCompiler(region, processor, execution, constants, lines, body)
                                .emit());
                  }
                });
    return new Result(classFile, constants.objects(), methodBytes(classFile, regions.size()));
  }

  /** Name of the method of a region, by its index. */
  static String methodName(int region) {
    return "region" + region;
  }

  /** Calls the method of the region that an entry names. */
  private static void dispatch(CodeBuilder code, ClassDesc name, List<Region> regions) {
    Label nowhere = code.newLabel();
    List<SwitchCase> cases = new ArrayList<>();
    for (int i = 0; i < regions.size(); i++) {
      cases.add(SwitchCase.of(i, code.newLabel()));
    }
    int block = TranslatedCode.entry(1, 0) - 1;
    code.iload(Locals.ENTRY)
        .loadConstant(Integer.bitCount(block))
        .ishr()
        .tableswitch(0, regions.size() - 1, nowhere, cases);
    for (int i = 0; i < regions.size(); i++) {
      code.labelBinding(cases.get(i).target())
          .aload(0)
          .iload(Locals.ENTRY)
          .loadConstant(block)
          .iand()
          .lload(Locals.BASE)
          .iload(Locals.REMAINING)
          .invokevirtual(name, methodName(i), RUN)
          .ireturn();
    }
    code.labelBinding(nowhere).iload(Locals.REMAINING).ireturn();
  }

  private static List<Integer> methodBytes(byte[] classFile, int regions) {
    ClassModel model = ClassFile.of().parse(classFile);
    List<Integer> bytes = new ArrayList<>();
    for (int i = 0; i < regions; i++) {
      String name = methodName(i);
      bytes.add(
          model.methods().stream()
              .filter(method -> method.methodName().equalsString(name))
              .findFirst()
              .flatMap(method -> method.findAttribute(Attributes.code()))
              .map(CodeAttribute::codeLength)
              .orElseThrow());
    }
    return bytes;
  }

  /** Slots that each block, or one after it, reads before writing them. */
  private static long[] liveIn(Region region) {
    int count = region.blocks().size();
    long[] live = new long[count];
    long[] read = new long[count];
    long[] written = new long[count];
    for (int b = 0; b < count; b++) {
      for (MicroOperation o : region.blocks().get(b).operations()) {
        read[b] |= SlotUse.reads(o) & ~written[b];
        written[b] |= SlotUse.writes(o);
      }
      live[b] = read[b];
    }
    boolean changed = region.linked();
    while (changed) {
      changed = false;
      for (int b = count - 1; b >= 0; b--) {
        long after = 0;
        for (int successor : successors(region, b)) {
          if (successor >= 0) {
            after |= live[successor];
          }
        }
        long before = read[b] | after & ~written[b];
        changed |= before != live[b];
        live[b] = before;
      }
    }
    return live;
  }

  /** Blocks of the region to which jumps with constant targets lead; -1 for others. */
  private static int[] successors(Region region, int index) {
    RegionBlock block = region.blocks().get(index);
    MicroOperation last = block.last();
    if (last.code == MicroCode.JUMP || last.code == MicroCode.CALL64) {
      return new int[] {inside(region, block, last, last.immediate)};
    }
    if (last.code >= MicroCode.JUMP_IF) {
      return new int[] {
        inside(region, block, last, last.immediate),
        region.indexOf(block.offset() + last.displacement)
      };
    }
    return new int[0];
  }

  private static int inside(Region region, RegionBlock block, MicroOperation jump, long target) {
    return region.linked() && jump.shift == 0 ? region.indexOf(block.offset() + target) : -1;
  }

  private void emit() {
    for (int b = 0; b < region.blocks().size(); b++) {
      labels.add(code.newLabel());
    }
    mark(LineNumbers.ENTRIES);
    emitEntries();
    for (int b = 0; b < region.blocks().size(); b++) {
      emitBlock(b);
    }
    mark(LineNumbers.EXITS);
    for (int i = 0; i < stubs.size(); i++) {
      stubs.get(i).run();
    }
    code.labelBinding(exit);
    OperationEmitter.emitExit(code, constants, processor.state());
  }

  private void mark(int line) {
    if (lines != null) {
      code.lineNumber(line);
    }
  }

  private void emitEntries() {
    Label nowhere = code.newLabel();
    List<SwitchCase> cases = new ArrayList<>();
    for (int b = 0; b < labels.size(); b++) {
      cases.add(SwitchCase.of(b, code.newLabel()));
    }
    OperationEmitter.emitStart(code, constants, processor.state(), processor.memory());
    code.iload(Locals.ENTRY).tableswitch(0, labels.size() - 1, nowhere, cases);
    for (int b = 0; b < labels.size(); b++) {
      code.labelBinding(cases.get(b).target());
      emitter(b, 0).ensureAll(liveIn[b]);
      code.goto_(labels.get(b));
    }
    code.labelBinding(nowhere).iload(Locals.REMAINING).ireturn();
  }

  private OperationEmitter emitter(int index, long valid) {
    return new OperationEmitter(
        code, constants, processor, execution, region.blocks().get(index), region.code64(), valid);
  }

  private void emitBlock(int index) {
    RegionBlock block = region.blocks().get(index);
    MicroOperation[] operations = block.operations();
    boolean[] flagsLive = flagsLive(operations);
    OperationEmitter emitter = emitter(index, liveIn[index]);
    Label tooFew = code.newLabel();
    if (lines != null) {
      mark(lines.ofBlock(index));
    }
    code.labelBinding(labels.get(index))
        .iinc(Locals.REMAINING, -block.instructions())
        .iload(Locals.REMAINING)
        .iflt(tooFew);
    stubs.add(() -> {
      code.labelBinding(tooFew).iinc(Locals.REMAINING, block.instructions());
      emitter(index, 0).pushAddress(0);
      code.lstore(Locals.TARGET).goto_(exit);
    });
    int ordinal = -1;
    for (int i = 0; i < operations.length; i++) {
      MicroOperation o = operations[i];
      if (lines != null) {
        mark(lines.ofOperation(index, i));
      }
      if (o.ordinal != ordinal || i == 0) {
        ordinal = o.ordinal;
        emitter.beginInstruction(callsHelper(operations, i));
      }
      if (o.code == MicroCode.PROCESSOR_HELPER && isFollowed(operations, i)) {
        emitter.innerHelper(o);
      } else if (o.code == MicroCode.PROCESSOR_HELPER) {
        emitLeave(emitter.processorHelper(o), block, o, emitter);
      } else if (ends(o)) {
        emitEnd(index, o, emitter);
      } else {
        emitter.emit(o, flagsLive[i]);
      }
    }
  }

  /** Whether the next operation belongs to the same instruction. */
  private static boolean isFollowed(MicroOperation[] operations, int index) {
    return index + 1 < operations.length
        && operations[index + 1].ordinal == operations[index].ordinal;
  }

  /** The region is left after an instruction in the middle of a block. */
  private void emitLeave(
      Label leave, RegionBlock block, MicroOperation o, OperationEmitter emitter) {
    stubs.add(() -> {
      code.labelBinding(leave).iinc(Locals.REMAINING, block.instructions() - o.ordinal - 1);
      emitter.pushAddress(o.nextOffset());
      code.lstore(Locals.TARGET).goto_(exit);
    });
  }

  private static boolean callsHelper(MicroOperation[] operations, int first) {
    for (int i = first;
        i < operations.length && operations[i].ordinal == operations[first].ordinal;
        i++) {
      switch (operations[i].code) {
        case MicroCode.STATE_HELPER, MicroCode.PROCESSOR_HELPER, MicroCode.PROCESSOR_HELPER_END -> {
          return true;
        }
        default -> {}
      }
    }
    return false;
  }

  private static boolean[] flagsLive(MicroOperation[] operations) {
    boolean[] after = new boolean[operations.length];
    boolean live = true;
    for (int i = operations.length - 1; i >= 0; i--) {
      after[i] = live;
      MicroOperation o = operations[i];
      live = SlotUse.exposesFlags(o) || SlotUse.readsFlags(o) || live && !SlotUse.writesFlags(o);
    }
    return after;
  }

  private static boolean ends(MicroOperation o) {
    return o.code >= MicroCode.PROCESSOR_HELPER_END;
  }

  private void emitEnd(int index, MicroOperation o, OperationEmitter emitter) {
    RegionBlock block = region.blocks().get(index);
    switch (o.code) {
      case MicroCode.PROCESSOR_HELPER_END -> emitter.endingHelper(o);
      case MicroCode.JUMP -> emitJump(block, o.immediate, o.shift, emitter);
      case MicroCode.CALL64 -> {
        emitter.pushAddress(o.displacement);
        code.lstore(Locals.VALUE);
        emitter.pushOnStack(o);
        emitJump(block, o.immediate, o.shift, emitter);
      }
      case MicroCode.CALL_INDIRECT64 -> {
        emitter.push(o.second);
        code.lstore(Locals.TARGET);
        emitter.checkTarget(o);
        emitter.pushAddress(o.displacement);
        code.lstore(Locals.VALUE);
        emitter.pushOnStack(o);
        code.goto_(exit);
      }
      case MicroCode.JUMP_INDIRECT64 -> {
        emitter.push(o.second);
        if (o.immediate != 0) {
          code.loadConstant(o.immediate).ladd();
        }
        code.lstore(Locals.TARGET);
        emitter.checkTarget(o);
        code.goto_(exit);
      }
      case MicroCode.RETURN64 -> {
        emitter.loadFromStack(o);
        code.lload(Locals.VALUE).lstore(Locals.TARGET);
        emitter.checkTarget(o);
        code.lload(Locals.LINEAR).loadConstant(8 + o.immediate).ladd();
        emitter.pop(Slot.RSP);
        emitReturn();
      }
      default -> {
        Label taken = code.newLabel();
        emitter.jumpIf(o.code - MicroCode.JUMP_IF, false, taken);
        // A 16-bit operand cuts the target, but not the address of the next instruction.
        emitJump(block, o.displacement, 0, emitter);
        code.labelBinding(taken);
        emitJump(block, o.immediate, o.shift, emitter);
      }
    }
  }

  /** Goes on at TARGET, inside if a call inside the region may have come from there. */
  private void emitReturn() {
    List<SwitchCase> cases = new ArrayList<>();
    List<Integer> blocks = new ArrayList<>();
    for (RegionBlock block : region.blocks()) {
      MicroOperation last = block.last();
      if (region.linked() && last.code == MicroCode.CALL64) {
        int after = region.indexOf(block.offset() + last.displacement);
        if (after >= 0
            && inside(region, block, last, last.immediate) >= 0
            && !blocks.contains(after)) {
          cases.add(SwitchCase.of(region.blocks().get(after).offset(), code.newLabel()));
          blocks.add(after);
        }
      }
    }
    if (!cases.isEmpty()) {
      code.lload(Locals.TARGET)
          .lload(Locals.BASE)
          .lxor()
          .loadConstant(TranslatedMemory.PAGE)
          .land()
          .lconst_0()
          .lcmp()
          .ifne(exit)
          .lload(Locals.TARGET)
          .l2i()
          .loadConstant(0xfff)
          .iand()
          .lookupswitch(exit, cases);
      for (int i = 0; i < cases.size(); i++) {
        code.labelBinding(cases.get(i).target());
        emitter(blocks.get(i), 0).ensureAll(liveIn[blocks.get(i)]);
        code.goto_(labels.get(blocks.get(i)));
      }
    } else {
      code.goto_(exit);
    }
  }

  /** Goes to a place given by its offset from the start of the block, inside or out. */
  private void emitJump(RegionBlock block, long target, int shift, OperationEmitter emitter) {
    int inside = region.linked() && shift == 0 ? region.indexOf(block.offset() + target) : -1;
    if (inside >= 0) {
      emitter.ensureAll(liveIn[inside]);
      code.goto_(labels.get(inside));
    } else {
      emitter.pushAddress(target);
      if (shift != 0) {
        code.loadConstant(shift).lshl().loadConstant(shift).lushr();
      }
      code.lstore(Locals.TARGET).goto_(exit);
    }
  }
}
