package dev.ringfence.lab.guest;

import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * What the init program of a guest is told on ttyS1 once its system is up. Neither the images nor
 * the kernel's command line say it, so that one boot serves all commands and terminals.
 *
 * <pre>
 * BYTES [NAME COLUMNS ROWS]\n  the command, BYTES long
 * </pre>
 *
 * @param command for the guest's shell; null for an interactive shell
 * @param terminal name and size of the user's terminal as {@code NAME,COLUMNSxROWS}, or null
 */
public record Assignment(@Nullable String command, @Nullable String terminal) {
  /** The bytes for the guest's second serial port. */
  public byte[] toBytes() {
    String text = command == null ? "" : command + "\n";
    int bytes = text.getBytes(StandardCharsets.UTF_8).length;
    String size = terminal == null ? "" : " " + terminal.replaceFirst(",(\\d+)x(\\d+)$", " $1 $2");
    return (bytes + size + "\n" + text).getBytes(StandardCharsets.UTF_8);
  }
}
