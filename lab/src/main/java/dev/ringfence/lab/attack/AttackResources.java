package dev.ringfence.lab.attack;

import dev.ringfence.machine.input.YamlNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/** The data files of this package. */
final class AttackResources {
  private AttackResources() {}

  static String text(String name) {
    try (InputStream in = AttackResources.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new AssertionError("the build did not put " + name + " beside this class");
      }
      return YamlNode.decode(in.readAllBytes(), name);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
