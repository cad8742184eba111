package dev.ringfence.lab.workload;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A value of a YAML file with the place where it stands. A tree of our own rather than Jackson's,
 * because that one forgets lines, and every message here names one.
 */
sealed interface YamlNode {
  /** Enough for every workload; a deeper file is a mistake or an attack on the stack. */
  int MAXIMUM_DEPTH = 4;

  /** Line in the file, from 1. */
  int line();

  /** Text, number, truth value or nothing, as it is written. */
  record Scalar(String text, int line) implements YamlNode {}

  /** Values in order. */
  record Sequence(List<YamlNode> items, int line) implements YamlNode {}

  /** Values by key, in order. */
  record Mapping(Map<String, YamlNode> entries, Map<String, Integer> keyLines, int line)
      implements YamlNode {}

  /**
   * Parses a file of one document.
   *
   * @param file its name, for messages
   * @throws BadInputException if it is no YAML, or has aliases, repeated keys or too many levels
   */
  static YamlNode parse(String text, String file) {
    try (YAMLParser parser = new YAMLFactory().createParser(text)) {
      if (parser.nextToken() == null) {
        throw bad(file, 1, "a mapping of keys to values", "an empty file");
      }
      YamlNode root = parse(parser, file, 0);
      if (parser.nextToken() != null) {
        throw bad(file, line(parser), "one document", "a second one");
      }
      return root;
    } catch (JsonProcessingException e) {
      JsonLocation location = e.getLocation();
      throw bad(
          file,
          location == null ? 1 : location.getLineNr(),
          "YAML",
          e.getOriginalMessage().lines().findFirst().orElse("something else"));
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  private static int line(JsonParser parser) {
    return parser.currentTokenLocation().getLineNr();
  }

  private static YamlNode parse(YAMLParser parser, String file, int depth) throws IOException {
    int line = line(parser);
    if (depth > MAXIMUM_DEPTH) {
      throw bad(file, line, "at most " + MAXIMUM_DEPTH + " levels", "more");
    }
    JsonToken token = parser.currentToken();
    if (token == null) {
      throw bad(file, line, "a value", "the end of the file");
    }
    switch (token) {
      case START_OBJECT -> {
        Map<String, YamlNode> entries = new LinkedHashMap<>();
        Map<String, Integer> keyLines = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          int keyLine = line(parser);
          if (keyLines.put(key, keyLine) != null) {
            throw bad(file, keyLine, "each key once", "'" + key + "' again");
          }
          parser.nextToken();
          entries.put(key, parse(parser, file, depth + 1));
        }
        return new Mapping(entries, keyLines, line);
      }
      case START_ARRAY -> {
        List<YamlNode> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          items.add(parse(parser, file, depth + 1));
        }
        return new Sequence(items, line);
      }
      default -> {
        if (parser.isCurrentAlias()) {
          throw bad(file, line, "a value", "an alias, which this format does not have");
        }
        @Nullable String text = parser.getText();
        return new Scalar(text == null || token == JsonToken.VALUE_NULL ? "" : text, line);
      }
    }
  }

  /** How a value is named where another kind was expected. */
  default String describe() {
    return switch (this) {
      case Mapping mapping -> "a mapping";
      case Sequence sequence -> "a list";
      case Scalar(String text, int line) when text.isEmpty() -> "nothing";
      case Scalar(String text, int line) ->
          "'" + text.lines().findFirst().orElse("") + (text.lines().count() > 1 ? "...'" : "'");
    };
  }

  /** The exception for a value that is not as it should be. */
  static BadInputException bad(String file, int line, String expected, String found) {
    return new BadInputException(
        "%s: line %d: expected %s, found %s".formatted(file, line, expected, found));
  }
}
