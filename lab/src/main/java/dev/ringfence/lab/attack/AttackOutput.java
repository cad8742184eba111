package dev.ringfence.lab.attack;

import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What an attack prints, line by line. The program is not trusted: anything may come, of any length
 * and for ever.
 *
 * <pre>
 * byte INDEX VALUE CONFIDENCE   one byte of the secret: VALUE two hexadecimal digits or ??, CONFIDENCE 0 to 100
 * unsupported REASON            the processor lacks what the attack needs
 * done                          there is nothing more to come
 * ended STATUS                  the program has ended; printed by what started it
 * failed WHAT STATUS            the set-up did not work; printed by the script that runs it
 * </pre>
 *
 * If a byte is told twice, the later one counts. Other lines are notes.
 */
final class AttackOutput extends OutputStream {
  private static final Pattern BYTE =
      Pattern.compile("byte ([0-9]{1,5}) ([0-9a-fA-F]{2}|\\?\\?) ([0-9]{1,3}(?:\\.[0-9]{1,6})?)");
  private static final Pattern ENDED = Pattern.compile("ended ([0-9]{1,3})");
  private static final String UNSUPPORTED = "unsupported ";
  private static final String FAILED = "failed ";
  private static final String DONE = "done";

  private static final int LONGEST_LINE = 240;
  private static final int MOST_NOTES = 40;

  /** Of a byte that the attack has not found. */
  static final int UNKNOWN = -1;

  private final int[] values;
  private final double[] confidences;
  private final List<String> notes = new ArrayList<>();
  private final byte[] line = new byte[LONGEST_LINE];
  private int lineLength;
  private boolean done;
  private int status = -1;
  private String unsupported = "";
  private String failed = "";

  /**
   * @param bytes of the secret
   */
  AttackOutput(int bytes) {
    values = new int[bytes];
    Arrays.fill(values, UNKNOWN);
    confidences = new double[bytes];
  }

  @Override
  public void write(int value) {
    if (value == '\n') {
      accept(new String(line, 0, lineLength, StandardCharsets.ISO_8859_1).strip());
      lineLength = 0;
    } else if (lineLength < LONGEST_LINE) {
      line[lineLength++] = (byte) value;
    }
  }

  private void accept(String text) {
    Matcher found = BYTE.matcher(text);
    Matcher ended = ENDED.matcher(text);
    if (found.matches()) {
      int index = Integer.parseInt(found.group(1));
      if (index < values.length) {
        values[index] =
            found.group(2).equals("??") ? UNKNOWN : HexFormat.fromHexDigits(found.group(2));
        confidences[index] = Math.min(Double.parseDouble(found.group(3)), 100);
        return;
      }
    } else if (ended.matches()) {
      status = Integer.parseInt(ended.group(1));
      return;
    } else if (text.equals(DONE)) {
      done = true;
      return;
    } else if (text.startsWith(UNSUPPORTED) && unsupported.isEmpty()) {
      unsupported = text.substring(UNSUPPORTED.length()).strip();
      return;
    } else if (text.startsWith(FAILED) && failed.isEmpty()) {
      failed = text.substring(FAILED.length()).strip();
      return;
    }
    if (!text.isEmpty() && notes.size() < MOST_NOTES) {
      notes.add(text.replaceAll("\\p{Cntrl}", "?"));
    }
  }

  /** What the attack says of a byte: 0 to 255, or {@link #UNKNOWN}. */
  int value(int index) {
    return values[index];
  }

  /** The attack's own opinion of its bytes, 0 to 100 each. */
  List<Double> confidences() {
    return Arrays.stream(confidences).boxed().toList();
  }

  /** Two digits for each byte, ?? for those that it has not found. */
  String hexadecimal() {
    StringBuilder text = new StringBuilder();
    for (int value : values) {
      text.append(value == UNKNOWN ? "??" : HexFormat.of().toHexDigits((byte) value));
    }
    return text.toString();
  }

  /** Whether the attack says that it has told everything. */
  boolean done() {
    return done;
  }

  /** Whether the program has ended, or was not started because the set-up failed. */
  boolean ended() {
    return status >= 0 || !failed.isEmpty();
  }

  /** Exit status of the program, -1 if it has not ended. */
  int status() {
    return status;
  }

  /** What the processor lacks, empty if the attack did not say so. */
  String unsupported() {
    return unsupported;
  }

  /** What of the set-up failed, empty if nothing did. */
  String failed() {
    return failed;
  }

  List<String> notes() {
    return List.copyOf(notes);
  }
}
