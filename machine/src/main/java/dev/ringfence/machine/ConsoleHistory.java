package dev.ringfence.machine;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** The last bytes that the guest wrote to its console, for reports. */
final class ConsoleHistory {
  private static final int BYTES = 8192;

  private final byte[] ring = new byte[BYTES];
  private long count;

  void add(int value) {
    ring[(int) (count++ % BYTES)] = (byte) value;
  }

  void clear() {
    count = 0;
  }

  /** The last lines, without escape sequences and other control characters. */
  List<String> lastLines(int most) {
    int length = (int) Math.min(count, BYTES);
    byte[] bytes = new byte[length];
    for (int i = 0; i < length; i++) {
      bytes[i] = ring[(int) ((count - length + i) % BYTES)];
    }
    List<String> lines =
        new String(bytes, StandardCharsets.UTF_8)
            .replaceAll("\u001b\\[[0-9;?]*[A-Za-z]", "")
            .lines()
            .map(line -> line.replaceAll("\\p{Cntrl}", ""))
            .filter(line -> !line.isBlank())
            .toList();
    return lines.subList(Math.max(0, lines.size() - most), lines.size());
  }
}
