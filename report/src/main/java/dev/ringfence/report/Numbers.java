package dev.ringfence.report;

import dev.ringfence.lab.result.Range;
import java.util.Locale;

/** Figures as text: separators of thousands, three significant digits where digits are for show. */
final class Numbers {
  private static final String[] BINARY = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  private static final String[] DECIMAL = {"", "k", "M", "G", "T", "P", "E"};

  private Numbers() {}

  /** {@code 1,234,567}. */
  static String count(long value) {
    return String.format(Locale.ROOT, "%,d", value);
  }

  /** {@code 1.23M}; counts below 10,000 in full. */
  static String compact(long value) {
    return compact((double) value);
  }

  static String compact(double value) {
    if (Math.abs(value) < 10_000) {
      return count(Math.round(value));
    }
    return scaled(value, 1000, DECIMAL, "");
  }

  /** {@code 1.50 GiB}. */
  static String bytes(long value) {
    return bytes((double) value);
  }

  static String bytes(double value) {
    return Math.abs(value) < 1024
        ? count(Math.round(value)) + " B"
        : scaled(value, 1024, BINARY, " ");
  }

  private static String scaled(double value, double step, String[] units, String gap) {
    int unit = 0;
    double rest = value;
    // 999.5 would print as 1000.
    while (Math.abs(rest) >= Math.min(step, 999.5) && unit < units.length - 1) {
      rest /= step;
      unit++;
    }
    return significant(rest) + gap + units[unit];
  }

  /** Three significant digits, more before the point if needed: {@code 0.0123}, {@code 1,234}. */
  static String significant(double value) {
    double size = Math.abs(value);
    if (!Double.isFinite(value)) {
      return "unknown";
    }
    if (size == 0) {
      return "0";
    }
    // The half of the last digit decides which power of ten the rounded figure has.
    int digits =
        size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : size >= 0.0995 ? 3 : 4;
    if (size < 0.00005) {
      return value < 0 ? "> -0.0001" : "< 0.0001";
    }
    return String.format(Locale.ROOT, "%,." + digits + "f", value);
  }

  /** A fraction as a percentage: {@code 0.131} is {@code 13.1 %}. */
  static String percent(double fraction) {
    return significant(fraction * 100) + " %";
  }

  /** {@code 3.10 % to 8.40 %}. */
  static String percent(Range fractions) {
    return range(significant(fractions.low() * 100), significant(fractions.high() * 100), " %");
  }

  /** {@code 1.20M to 3.40M cycles}. */
  static String cycles(Range cycles) {
    return range(compact(cycles.low()), compact(cycles.high()), " cycles");
  }

  static String range(String low, String high, String unit) {
    return low.equals(high) ? low + unit : low + " to " + high + unit;
  }

  /** Virtual time: {@code 1.25 s}. */
  static String time(double nanoseconds) {
    if (nanoseconds >= 999.5e6) {
      return significant(nanoseconds / 1e9) + " s";
    }
    return nanoseconds >= 999.5e3
        ? significant(nanoseconds / 1e6) + " ms"
        : significant(nanoseconds / 1e3) + " us";
  }

  /** {@code 1 exit}, {@code 2 exits}. */
  static String events(long count, String one, String many) {
    return count(count) + " " + (count == 1 ? one : many);
  }
}
