package dev.ringfence.lab.attack;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * Random bytes that an attack is to find out. They follow from the seed of a run and from what they
 * are for, so that a run can be repeated; nothing in the guest knows either.
 */
public final class Secret {
  private final byte[] bytes;

  private Secret(byte[] bytes) {
    this.bytes = bytes;
  }

  /**
   * The secret of one attack in one run.
   *
   * @param seed of the run
   * @param purpose that tells it from other secrets of the run
   * @param length in bytes
   */
  public static Secret of(long seed, String purpose, int length) {
    byte[] bytes = new byte[length];
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (int from = 0, block = 0; from < length; from += digest.getDigestLength(), block++) {
        byte[] part =
            digest.digest(
                "%d %d %s".formatted(seed, block, purpose).getBytes(StandardCharsets.UTF_8));
        System.arraycopy(part, 0, bytes, from, Math.min(part.length, length - from));
      }
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every JDK has SHA-256", e);
    }
    return new Secret(bytes);
  }

  /** A secret of known bytes, for tests of the judge. */
  static Secret ofBytes(byte... bytes) {
    return new Secret(bytes.clone());
  }

  public int length() {
    return bytes.length;
  }

  public byte[] bytes() {
    return bytes.clone();
  }

  /** A byte, 0 to 255. */
  int at(int index) {
    return bytes[index] & 0xff;
  }

  /** Two digits for each byte. */
  public String hexadecimal() {
    return HexFormat.of().formatHex(bytes);
  }

  /** As an argument of the shell's printf: three octal digits for each byte. */
  String octalEscapes() {
    StringBuilder text = new StringBuilder();
    for (byte value : bytes) {
      text.append("\\%03o".formatted(value & 0xff));
    }
    return text.toString();
  }
}
