package dev.ringfence.machine.translate;

import java.lang.classfile.CodeBuilder;
import java.lang.constant.ClassDesc;
import java.lang.constant.ConstantDescs;
import java.lang.constant.DirectMethodHandleDesc;
import java.lang.constant.DynamicConstantDesc;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;

/**
 * Objects that a hidden class refers to: its class data, each loaded as a dynamic constant, so that
 * compilers of the JVM take it for one. That is why code is translated for one processor: tables
 * and register file are constants, and no index into them is checked at run time.
 */
final class Constants {
  private static final DirectMethodHandleDesc CLASS_DATA_AT =
      ConstantDescs.ofConstantBootstrap(
          ClassDesc.of("java.lang.invoke.MethodHandles"),
          "classDataAt",
          ConstantDescs.CD_Object,
          ConstantDescs.CD_int);

  private final List<Object> objects = new ArrayList<>();
  private final IdentityHashMap<Object, Integer> indices = new IdentityHashMap<>();

  /** Pushes an object. */
  void push(CodeBuilder code, Object object, ClassDesc type) {
    int index =
        indices.computeIfAbsent(
            object,
            key -> {
              objects.add(object);
              return objects.size() - 1;
            });
    code.ldc(DynamicConstantDesc.ofNamed(CLASS_DATA_AT, ConstantDescs.DEFAULT_NAME, type, index));
  }

  List<Object> objects() {
    return objects;
  }
}
