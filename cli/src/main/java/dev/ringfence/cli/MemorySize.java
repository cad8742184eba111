package dev.ringfence.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads an amount of memory, a number with M or G, as bytes. */
final class MemorySize implements ITypeConverter<Long> {
  private static final Pattern FORM = Pattern.compile("([0-9]{1,7})([MmGg])");

  @Override
  public Long convert(String text) {
    Matcher matcher = FORM.matcher(text);
    if (!matcher.matches()) {
      throw new TypeConversionException("expected a size such as 512M or 2G, found '" + text + "'");
    }
    int shift = matcher.group(2).equalsIgnoreCase("M") ? 20 : 30;
    return Long.parseLong(matcher.group(1)) << shift;
  }
}
