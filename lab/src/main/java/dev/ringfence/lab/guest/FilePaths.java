package dev.ringfence.lab.guest;

import java.nio.charset.StandardCharsets;

/** Names of files on their way between archives and the host. */
final class FilePaths {
  private FilePaths() {}

  /** The path as archives of packages write it, {@code ./usr/bin/}, without its ends. */
  static String withoutLeadingDots(String path) {
    String plain = path;
    while (plain.startsWith("./") || plain.startsWith("/")) {
      plain = plain.substring(plain.indexOf('/') + 1);
    }
    while (plain.endsWith("/")) {
      plain = plain.substring(0, plain.length() - 1);
    }
    return plain.equals(".") ? "" : plain;
  }

  /** The bytes of a host name as characters of {@link DebPackage#NAME_ENCODING}. */
  static String toLatin1(String name) {
    return new String(name.getBytes(StandardCharsets.UTF_8), DebPackage.NAME_ENCODING);
  }
}
