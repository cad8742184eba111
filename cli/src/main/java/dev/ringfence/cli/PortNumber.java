package dev.ringfence.cli;

import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads an I/O port, decimal or with 0x. */
final class PortNumber implements ITypeConverter<Integer> {
  @Override
  public Integer convert(String text) {
    try {
      int port = Integer.decode(text);
      if (port > 0 && port <= 0xffff) {
        return port;
      }
    } catch (NumberFormatException e) {
      // The message below says what was expected.
    }
    throw new TypeConversionException("expected a port from 1 to 0xffff, found '" + text + "'");
  }
}
