package dev.ringfence.lab.guest;

import com.github.luben.zstd.ZstdOutputStreamNoFinalizer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.zip.GZIPOutputStream;
import org.apache.commons.compress.archivers.ar.ArArchiveEntry;
import org.apache.commons.compress.archivers.ar.ArArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;

/** Makes .deb files for tests. */
final class Debs {
  private final ByteArrayOutputStream tarBytes = new ByteArrayOutputStream();
  private final TarArchiveOutputStream tar = new TarArchiveOutputStream(tarBytes);

  Debs() {
    tar.setLongFileMode(TarArchiveOutputStream.LONGFILE_GNU);
  }

  Debs folder(String path) throws IOException {
    return entry(new TarArchiveEntry(path + "/"), 0755, new byte[0]);
  }

  Debs file(String path, int mode, String content) throws IOException {
    return entry(new TarArchiveEntry(path), mode, content.getBytes(StandardCharsets.UTF_8));
  }

  Debs link(String path, byte type, String target) throws IOException {
    TarArchiveEntry entry = new TarArchiveEntry(path, type);
    entry.setLinkName(target);
    return entry(entry, 0777, new byte[0]);
  }

  Debs device(String path, int major, int minor) throws IOException {
    TarArchiveEntry entry = new TarArchiveEntry(path, TarConstants.LF_CHR);
    entry.setDevMajor(major);
    entry.setDevMinor(minor);
    return entry(entry, 0600, new byte[0]);
  }

  private Debs entry(TarArchiveEntry entry, int mode, byte[] content) throws IOException {
    entry.setMode(mode);
    entry.setSize(content.length);
    tar.putArchiveEntry(entry);
    tar.write(content);
    tar.closeArchiveEntry();
    return this;
  }

  /** The package, with its data compressed as the suffix says. */
  byte[] build(String architecture, String compression) throws IOException {
    tar.close();
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ArArchiveOutputStream ar = new ArArchiveOutputStream(out)) {
      member(ar, "debian-binary", "2.0\n".getBytes(StandardCharsets.US_ASCII));
      member(ar, "control.tar.gz", compress(control(architecture), "gz"));
      member(ar, "data.tar." + compression, compress(tarBytes.toByteArray(), compression));
    }
    return out.toByteArray();
  }

  private static byte[] control(String architecture) throws IOException {
    Debs control = new Debs();
    control.file(
        "./control", 0644, "Package: test\nVersion: 1\nArchitecture: " + architecture + "\n");
    control.tar.close();
    return control.tarBytes.toByteArray();
  }

  private static void member(ArArchiveOutputStream ar, String name, byte[] content)
      throws IOException {
    ar.putArchiveEntry(new ArArchiveEntry(name, content.length));
    ar.write(content);
    ar.closeArchiveEntry();
  }

  private static byte[] compress(byte[] content, String compression) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    OutputStream out =
        switch (compression) {
          case "xz" -> new XZOutputStream(bytes, new LZMA2Options());
          case "zst" -> new ZstdOutputStreamNoFinalizer(bytes);
          default -> new GZIPOutputStream(bytes);
        };
    try (out) {
      out.write(content);
    }
    return bytes.toByteArray();
  }
}
