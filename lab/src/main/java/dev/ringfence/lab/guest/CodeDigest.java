package dev.ringfence.lab.guest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.module.ModuleReader;
import java.lang.module.ModuleReference;
import java.nio.ByteBuffer;
import java.util.Optional;

/** A digest of modules' content: what was made by other code is not trusted. */
public final class CodeDigest {
  private CodeDigest() {}

  /**
   * Digest of the modules of some classes; empty if one of them is not in a module, whose content
   * can be found.
   */
  public static Optional<String> of(Class<?>... classes) {
    ContentDigest digest = new ContentDigest();
    for (Class<?> member : classes) {
      Module module = member.getModule();
      Optional<ModuleReference> reference =
          Optional.ofNullable(module.getLayer())
              .flatMap(layer -> layer.configuration().findModule(module.getName()))
              .map(resolved -> resolved.reference());
      if (reference.isEmpty()) {
        return Optional.empty();
      }
      try {
        add(digest, reference.get());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return Optional.of(digest.hexadecimal());
  }

  private static void add(ContentDigest digest, ModuleReference reference) throws IOException {
    String name = reference.descriptor().name();
    try (ModuleReader reader = reference.open()) {
      for (String entry : reader.list().sorted().toList()) {
        if (!isPackaging(entry)) {
          ByteBuffer content = reader.read(entry).orElseThrow();
          digest.add(name + "/" + entry, content);
          reader.release(content);
        }
      }
    }
  }

  /** What makes a jar differ from the folder that it was made of. */
  private static boolean isPackaging(String entry) {
    return entry.endsWith("/")
        || entry.startsWith("META-INF/")
        || entry.equals("module-info.class");
  }
}
