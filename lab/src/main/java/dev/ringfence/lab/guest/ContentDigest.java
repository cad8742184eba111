package dev.ringfence.lab.guest;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;

/** SHA-256 of parts that have a name and a length each, so that no two lists of parts are alike. */
public final class ContentDigest {
  private final MessageDigest digest;

  public ContentDigest() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  /** Adds a part. */
  public void add(String name, String part) {
    add(name, ByteBuffer.wrap(part.getBytes(StandardCharsets.UTF_8)));
  }

  /** Adds a part. */
  public void add(String name, ByteBuffer part) {
    byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
    digest.update(ByteBuffer.allocate(8).putInt(bytes.length).putInt(part.remaining()).flip());
    digest.update(bytes);
    digest.update(part);
  }

  /**
   * Adds a file by what changes when its content does: it is not read, but no program can set the
   * time of the last change.
   */
  public void addState(String name, Path file) throws IOException {
    add(
        name,
        file
            + Files.readAttributes(file, "unix:ino,size,lastModifiedTime,ctime").entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .map(Object::toString)
                .toList()
                .toString());
  }

  /** The digest of what was added; ends the work. */
  public String hexadecimal() {
    return HexFormat.of().formatHex(digest.digest());
  }
}
