package dev.ringfence.lab.run;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** SHA-256 of parts that have a name and a length each, so that no two lists of parts are alike. */
final class ContentDigest {
  private final MessageDigest digest;

  ContentDigest() {
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
  }

  void add(String name, String part) {
    add(name, ByteBuffer.wrap(part.getBytes(StandardCharsets.UTF_8)));
  }

  void add(String name, ByteBuffer part) {
    byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
    digest.update(ByteBuffer.allocate(8).putInt(bytes.length).putInt(part.remaining()).flip());
    digest.update(bytes);
    digest.update(part);
  }

  String hexadecimal() {
    return HexFormat.of().formatHex(digest.digest());
  }
}
