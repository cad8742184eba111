package dev.ringfence.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.MethodModel;
import java.lang.classfile.attribute.CodeAttribute;
import java.lang.constant.ClassDesc;
import java.lang.constant.MethodTypeDesc;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * HotSpot never compiles a method of more than 8,000 bytes of bytecode (HugeMethodLimit): it stays
 * interpreted, an order of magnitude slower, and nothing says so. Class initializers run once and
 * are left out.
 */
final class MethodSizeTest {
  private static final int LIMIT = 8000;

  @Test
  void noMethodIsTooLargeForTheJustInTimeCompiler() throws IOException {
    List<Path> classes = SourceTree.classes();
    assertTrue(classes.size() > 10, "expected the classes of all modules, found " + classes);
    List<String> tooLarge = new ArrayList<>();
    for (Path file : classes) {
      tooLarge.addAll(tooLargeMethods(ClassFile.of().parse(Files.readAllBytes(file))));
    }
    assertEquals("", String.join("\n", tooLarge), "methods of more than " + LIMIT + " bytes");
  }

  @Test
  void aMethodIsMeasuredInBytesOfCode() {
    byte[] justRight = classWithMethodOf(LIMIT);
    byte[] oneMore = classWithMethodOf(LIMIT + 1);

    assertEquals(List.of(), tooLargeMethods(ClassFile.of().parse(justRight)));
    assertEquals(
        List.of("Generated.method()V has 8001 bytes of bytecode, expected at most 8000: split it"),
        tooLargeMethods(ClassFile.of().parse(oneMore)));
  }

  private static List<String> tooLargeMethods(ClassModel model) {
    List<String> found = new ArrayList<>();
    for (MethodModel method : model.methods()) {
      if (method.methodName().equalsString("<clinit>")) {
        continue;
      }
      for (var attribute : method.attributes()) {
        if (attribute instanceof CodeAttribute code && code.codeLength() > LIMIT) {
          found.add(
              "%s.%s%s has %d bytes of bytecode, expected at most %d: split it"
                  .formatted(
                      model.thisClass().asInternalName().replace('/', '.'),
                      method.methodName().stringValue(),
                      method.methodType().stringValue(),
                      code.codeLength(),
                      LIMIT));
        }
      }
    }
    return found;
  }

  private static byte[] classWithMethodOf(int bytes) {
    return ClassFile.of()
        .build(
            ClassDesc.of("Generated"),
            type ->
                type.withMethodBody(
                    "method",
                    MethodTypeDesc.ofDescriptor("()V"),
                    ClassFile.ACC_STATIC,
                    code -> {
                      for (int i = 1; i < bytes; i++) {
                        code.nop();
                      }
                      code.return_();
                    }));
  }
}
