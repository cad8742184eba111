package dev.ringfence.machine.input;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A value of a YAML file with the line on which it stands: a mapping, a list or a text. Numbers and
 * flags are texts until they are asked for, so that the file's own spelling appears in messages.
 *
 * <p>The file may come from anywhere. What YAML allows beyond plain trees (anchors, aliases,
 * several documents, deep nesting) is refused, so neither size nor shape of the result can exceed
 * that of the file.
 */
public final class YamlNode {
  /** Longest file, in characters; real ones have some ten thousand. */
  private static final int LONGEST = 1 << 20;

  private static final int DEEPEST = 8;

  private final String file;
  private final int line;
  private final Object value;

  private YamlNode(String file, int line, Object value) {
    this.file = file;
    this.line = line;
    this.value = value;
  }

  /**
   * Reads a file.
   *
   * @param text content of the file
   * @param file its name, for messages
   * @param what it should be: {@code a policy}
   * @throws BadInputException if it is not one YAML document
   */
  public static YamlNode read(String text, String file, String what) {
    if (text.length() > LONGEST) {
      throw new BadInputException(
          file + ": expected at most " + LONGEST + " characters, found " + text.length());
    }
    try (YAMLParser parser = new YAMLFactory().createParser(text)) {
      if (parser.nextToken() == null) {
        throw bad(file, 1, what, "an empty file");
      }
      YamlNode root = parse(file, parser, 0);
      if (parser.nextToken() != null) {
        throw bad(file, line(parser), "one document", "a second one");
      }
      return root;
    } catch (JsonProcessingException e) {
      JsonLocation location = e.getLocation();
      throw bad(
          file,
          location == null ? 1 : Math.max(location.getLineNr(), 1),
          "YAML",
          e.getOriginalMessage().lines().findFirst().orElse("something else"));
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  private static int line(JsonParser parser) {
    return parser.currentTokenLocation().getLineNr();
  }

  private static YamlNode parse(String file, YAMLParser parser, int depth) throws IOException {
    int line = line(parser);
    if (depth > DEEPEST) {
      throw bad(file, line, "at most " + DEEPEST + " levels", "more");
    }
    if (parser.isCurrentAlias()) {
      throw bad(file, line, "a value", "an alias, which is not supported here");
    }
    switch (parser.currentToken()) {
      case START_OBJECT -> {
        Map<String, YamlNode> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          int keyLine = line(parser);
          parser.nextToken();
          YamlNode child = parse(file, parser, depth + 1);
          if (!(child.value instanceof String)) {
            // Its content begins on a later line; a reader looks for the key.
            child = new YamlNode(file, keyLine, child.value);
          }
          if (map.put(key, child) != null) {
            throw bad(file, keyLine, "each key once", key + " again");
          }
        }
        return new YamlNode(file, line, Collections.unmodifiableMap(map));
      }
      case START_ARRAY -> {
        List<YamlNode> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(parse(file, parser, depth + 1));
        }
        return new YamlNode(file, line, Collections.unmodifiableList(list));
      }
      default -> {
        String text = parser.getText();
        return new YamlNode(file, line, text == null ? "" : text);
      }
    }
  }

  public int line() {
    return line;
  }

  /**
   * The entries of a mapping.
   *
   * @param what it should be, for the message
   * @param allowed all keys that it may have
   * @throws BadInputException if it is no mapping or has another key
   */
  public Entries entries(String what, Collection<String> allowed) {
    Map<String, YamlNode> map = mapping(what);
    map.forEach((key, node) -> {
      if (!allowed.contains(key)) {
        throw bad(
            file,
            node.line,
            "a key of " + what + " (" + String.join(", ", allowed) + ")",
            key + NearestNames.hint(key, allowed));
      }
    });
    return new Entries(this, what, map);
  }

  /**
   * A mapping whose keys are not known beforehand, in the order of the file.
   *
   * @param what it should be, for the message
   */
  @SuppressWarnings("unchecked") // only parse() makes maps, with these types
  public Map<String, YamlNode> mapping(String what) {
    if (value instanceof Map<?, ?> map) {
      return (Map<String, YamlNode>) map;
    }
    throw bad(what + ", a mapping of keys to values");
  }

  /** The elements of a list; a single text counts as a list of one. */
  @SuppressWarnings("unchecked") // only parse() makes lists, with these types
  public List<YamlNode> list(String what) {
    if (value instanceof List<?> list) {
      return (List<YamlNode>) list;
    }
    if (value instanceof String text && !text.isEmpty()) {
      return List.of(this);
    }
    throw bad("a list of " + what);
  }

  /** A text of 1 to {@code longest} characters, without blanks at its ends. */
  public String text(int longest) {
    if (value instanceof String text) {
      String stripped = text.strip();
      if (!stripped.isEmpty() && stripped.length() <= longest) {
        return stripped;
      }
    }
    throw bad("a text of 1 to " + longest + " characters");
  }

  /** A text as it is in the file, with blanks and line ends; it may be empty. */
  public String exactText() {
    if (value instanceof String text) {
      return text;
    }
    throw bad("a text");
  }

  /** {@code true} or {@code false}. */
  public boolean flag() {
    return switch (value) {
      case String text when text.equals("true") -> true;
      case String text when text.equals("false") -> false;
      default -> throw bad("true or false");
    };
  }

  /** A number, decimal fractions allowed. */
  public double number(double low, double high) {
    if (value instanceof String text && text.matches("[0-9][0-9_]{0,17}([.][0-9]{1,9})?")) {
      double number = Double.parseDouble(text.replace("_", ""));
      if (number >= low && number <= high) {
        return number;
      }
    }
    throw bad("a number from " + shortest(low) + " to " + shortest(high));
  }

  /**
   * A whole number, decimal or, after {@code 0x}, hexadecimal; hexadecimal numbers may use all 64
   * bits, and underscores may stand between digits.
   */
  public long integer(long low, long high) {
    if (value instanceof String text) {
      String digits = text.replace("_", "");
      try {
        long number =
            digits.startsWith("0x")
                ? Long.parseUnsignedLong(digits.substring(2), 16)
                : Long.parseLong(digits);
        if (number >= low && number <= high) {
          return number;
        }
      } catch (NumberFormatException e) {
        // Reported below, like a number out of range.
      }
    }
    throw bad("a number from " + low + " to " + high);
  }

  /** {@link #integer(long, long)} for small numbers. */
  public int integer(int low, int high) {
    return (int) integer((long) low, (long) high);
  }

  private static String shortest(double number) {
    return number == Math.rint(number) ? Long.toString((long) number) : Double.toString(number);
  }

  /** One of several words. */
  public <T> T oneOf(Map<String, T> words) {
    if (value instanceof String text) {
      T meaning = words.get(text);
      if (meaning != null) {
        return meaning;
      }
      throw bad(
          file,
          line,
          "one of " + String.join(", ", words.keySet()),
          "'" + text + "'" + NearestNames.hint(text, words.keySet()));
    }
    throw bad("one of " + String.join(", ", words.keySet()));
  }

  /** Whether this is a mapping. */
  public boolean isMapping() {
    return value instanceof Map<?, ?>;
  }

  /** The complaint that something else was expected here. */
  public BadInputException bad(String expected) {
    return bad(file, line, expected, describe());
  }

  /** The complaint that something else was expected here, if what was found needs more words. */
  public BadInputException bad(String expected, String found) {
    return bad(file, line, expected, found);
  }

  private static BadInputException bad(String file, int line, String expected, String found) {
    // What was found may have line ends and escape sequences; a message is one line.
    return new BadInputException(
        file
            + ": line "
            + line
            + ": expected "
            + expected
            + ", found "
            + found.replaceAll("\\p{Cntrl}", "?"));
  }

  private String describe() {
    return switch (value) {
      case Map<?, ?> map -> "a mapping";
      case List<?> list -> "a list";
      case String text when text.isEmpty() -> "nothing";
      case String text when text.length() > 80 -> "a text of " + text.length() + " characters";
      default -> "'" + value + "'";
    };
  }

  /** The entries of a mapping whose keys have been checked. */
  public static final class Entries {
    private final YamlNode node;
    private final String what;
    private final Map<String, YamlNode> map;

    private Entries(YamlNode node, String what, Map<String, YamlNode> map) {
      this.node = node;
      this.what = what;
      this.map = map;
    }

    /** The value of a key that must be there. */
    public YamlNode require(String key) {
      YamlNode found = map.get(key);
      if (found == null) {
        throw bad(node.file, node.line, what + " with a value for " + key, "none");
      }
      return found;
    }

    /** The value of a key that may be left out. */
    public Optional<YamlNode> find(String key) {
      return Optional.ofNullable(map.get(key));
    }

    /** Keys that are there, in the order of the file. */
    public Collection<String> keys() {
      return map.keySet();
    }
  }

  /**
   * Reads the bytes of a file as text.
   *
   * @throws BadInputException if they are not UTF-8
   */
  public static String decode(byte[] bytes, String file) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new BadInputException(file + ": expected UTF-8, found other bytes", e);
    }
  }
}
