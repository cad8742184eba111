package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Processor;
import java.lang.classfile.Attributes;
import java.lang.classfile.ClassFile;
import java.lang.classfile.CodeElement;
import java.lang.classfile.CodeModel;
import java.lang.classfile.Instruction;
import java.lang.classfile.Label;
import java.lang.classfile.MethodModel;
import java.lang.classfile.attribute.CodeAttribute;
import java.lang.classfile.instruction.BranchInstruction;
import java.lang.classfile.instruction.ConstantInstruction;
import java.lang.classfile.instruction.FieldInstruction;
import java.lang.classfile.instruction.IncrementInstruction;
import java.lang.classfile.instruction.InvokeInstruction;
import java.lang.classfile.instruction.LineNumber;
import java.lang.classfile.instruction.LoadInstruction;
import java.lang.classfile.instruction.StoreInstruction;
import java.lang.classfile.instruction.TableSwitchInstruction;
import java.lang.constant.ConstantDesc;
import java.lang.constant.DynamicConstantDesc;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

/** The bytecode that a region becomes, as text, by what it is for. */
public final class BytecodeListing {
  private final LineNumbers lines;
  private final Map<Integer, List<String>> text = new HashMap<>();
  private final int bytes;

  private BytecodeListing(Region region, Processor processor, IntFunction<String> slots) {
    lines = new LineNumbers(region);
    RegionCompiler.Result result =
        RegionCompiler.compile(List.of(region), processor, new Execution(processor), lines);
    bytes = result.methodBytes().getFirst();
    MethodModel method =
        ClassFile.of().parse(result.classFile()).methods().stream()
            .filter(each -> each.methodName().equalsString(RegionCompiler.methodName(0)))
            .findFirst()
            .orElseThrow();
    CodeModel code = method.code().orElseThrow();
    CodeAttribute attribute = method.findAttribute(Attributes.code()).orElseThrow();
    Printer printer = new Printer(attribute, result.constants(), slots);
    int line = LineNumbers.ENTRIES;
    int offset = 0;
    for (CodeElement element : code) {
      if (element instanceof LineNumber number) {
        line = number.line();
      } else if (element instanceof Instruction instruction) {
        text.computeIfAbsent(line, key -> new ArrayList<>())
            .add(String.format(Locale.ROOT, "%5d  %s", offset, printer.text(instruction)));
        offset += instruction.sizeInBytes();
      }
    }
  }

  /**
   * Compiles a region and lists the code.
   *
   * @param slots names of slots of the register file
   */
  public static BytecodeListing of(Region region, Processor processor, IntFunction<String> slots) {
    return new BytecodeListing(region, processor, slots);
  }

  /** Bytes of bytecode in the method that executes. */
  public int bytes() {
    return bytes;
  }

  /** Whether HotSpot would not compile it, so that it is not used. */
  public boolean tooLarge() {
    return bytes > RegionCompiler.HUGE_METHOD;
  }

  /** From the call to the first block. */
  public List<String> entries() {
    return ofLine(LineNumbers.ENTRIES);
  }

  /** From leaving a block to the return. */
  public List<String> exits() {
    return ofLine(LineNumbers.EXITS);
  }

  /** What is done before the first operation of a block. */
  public List<String> block(int block) {
    return ofLine(lines.ofBlock(block));
  }

  /** Of one operation; some emit nothing. */
  public List<String> operation(int block, int operation) {
    return ofLine(lines.ofOperation(block, operation));
  }

  private List<String> ofLine(int line) {
    return text.getOrDefault(line, List.of());
  }

  /** Prints single instructions. */
  private record Printer(CodeAttribute code, List<Object> constants, IntFunction<String> slots) {
    String text(Instruction instruction) {
      String name = instruction.opcode().name().toLowerCase(Locale.ROOT);
      return switch (instruction) {
        case LoadInstruction load -> base(name) + " " + local(load.slot());
        case StoreInstruction store -> base(name) + " " + local(store.slot());
        case IncrementInstruction increment ->
            "iinc " + local(increment.slot()) + " " + increment.constant();
        case ConstantInstruction constant -> constant(name, constant);
        case FieldInstruction field ->
            "%s %s.%s"
                .formatted(
                    name, simple(field.owner().asInternalName()), field.name().stringValue());
        case InvokeInstruction call ->
            "%s %s.%s"
                .formatted(name, simple(call.owner().asInternalName()), call.name().stringValue());
        case BranchInstruction branch -> name + " " + target(branch.target());
        case TableSwitchInstruction table ->
            name
                + table.cases().stream()
                    .map(each -> " " + each.caseValue() + ":" + target(each.target()))
                    .collect(Collectors.joining())
                + " default:"
                + target(table.defaultTarget());
        default -> name;
      };
    }

    /** A name without the number that short forms carry. */
    private static String base(String name) {
      int underscore = name.indexOf('_');
      return underscore < 0 ? name : name.substring(0, underscore);
    }

    private String constant(String name, ConstantInstruction constant) {
      ConstantDesc value = constant.constantValue();
      if (value instanceof DynamicConstantDesc<?> dynamic) {
        int index = (Integer) dynamic.bootstrapArgs()[0];
        return name + " " + object(constants.get(index));
      }
      if (name.contains("const_")) {
        return name;
      }
      return value instanceof Long number && (number < -9 || number > 9)
          ? "%s 0x%x".formatted(name, number)
          : name + " " + value;
    }

    private String object(Object object) {
      // Helpers are lambdas; what is left is the class that they are written in.
      String type = object.getClass().getSimpleName().replaceFirst("\\$\\$Lambda.*", " helper");
      return object instanceof long[] ? "(long[])" : "(" + (type.isEmpty() ? "object" : type) + ")";
    }

    private String target(Label label) {
      return Integer.toString(code.labelToBci(label));
    }

    private String local(int local) {
      return switch (local) {
        case 0 -> "this";
        case Locals.ENTRY -> "entry";
        case Locals.BASE -> "base";
        case Locals.REMAINING -> "remaining";
        case Locals.CONTEXT -> "context";
        case Locals.RESULT -> "flagResult";
        case Locals.AUXILIARY -> "flagAuxiliary";
        case Locals.LINEAR -> "linear";
        case Locals.INDEX -> "index";
        case Locals.VALUE -> "value";
        case Locals.FIRST -> "first";
        case Locals.SECOND -> "second";
        case Locals.COMPARED -> "compared";
        case Locals.COMPARED_WITH -> "comparedWith";
        case Locals.TARGET -> "target";
        default ->
            local >= Locals.ofSlot(0)
                ? slots.apply((local - Locals.ofSlot(0)) / 2)
                : "local" + local;
      };
    }

    private static String simple(String internalName) {
      return internalName.substring(internalName.lastIndexOf('/') + 1);
    }
  }
}
