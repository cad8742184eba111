package dev.ringfence.lab.result;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.exc.InvalidFormatException;
import com.fasterxml.jackson.databind.exc.MismatchedInputException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Reads and writes {@code run.json}, and writes {@code attack.json}. */
public final class ResultFile {
  /** Of the file in a run's folder. */
  public static final String NAME = "run.json";

  /** No run of ours comes near; a larger file would fill the heap before its first error. */
  private static final long LARGEST = 1L << 27;

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(SerializationFeature.INDENT_OUTPUT)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_LONG_FOR_INTS)
          .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .build();

  /** Class.getRecordComponents makes them anew at each call, and a result has many records. */
  private static final ClassValue<RecordComponent[]> COMPONENTS =
      new ClassValue<>() {
        @Override
        protected RecordComponent[] computeValue(Class<?> type) {
          return type.getRecordComponents();
        }
      };

  private ResultFile() {}

  /**
   * Reads a result. Fields that this version does not know are left out.
   *
   * @param file {@code run.json}, or the folder that holds it
   * @throws BadInputException if it is missing, not JSON, of another format, or incomplete; the
   *     message names the place
   */
  public static RunResult read(Path file) {
    Path source = Files.isDirectory(file) ? file.resolve(NAME) : file;
    byte[] bytes;
    try {
      long size = Files.size(source);
      if (size > LARGEST) {
        throw new BadInputException(
            "%s: expected a result of at most %d bytes, found %d".formatted(source, LARGEST, size));
      }
      bytes = Files.readAllBytes(source);
    } catch (NoSuchFileException e) {
      throw new BadInputException(
          "%s: no such file; a run writes its result there, see ringfence run --out"
              .formatted(source),
          e);
    } catch (IOException e) {
      throw new BadInputException("%s: result cannot be read: %s".formatted(source, e), e);
    }
    return parse(source.toString(), bytes);
  }

  private static RunResult parse(String source, byte[] bytes) {
    try {
      checkFormat(source, bytes);
      RunResult result = JSON.readValue(bytes, RunResult.class);
      checkRecord(source, "", result);
      return result;
    } catch (JsonMappingException e) {
      throw new BadInputException("%s: %s".formatted(source, mismatch(e)), e);
    } catch (JsonProcessingException e) {
      throw new BadInputException(
          "%s: %sexpected JSON, found: %s"
              .formatted(source, place(e.getLocation()), firstLine(e.getOriginalMessage())),
          e);
    } catch (IOException e) {
      throw new BadInputException("%s: expected JSON, found: %s".formatted(source, e), e);
    }
  }

  /**
   * Looks at the outermost names before anything else, because a file of another kind or format
   * would only give a misleading error later.
   */
  private static void checkFormat(String source, byte[] bytes) throws IOException {
    String format = null;
    List<String> names = new ArrayList<>();
    try (JsonParser parser = JSON.createParser(bytes)) {
      JsonToken first = parser.nextToken();
      if (first != JsonToken.START_OBJECT) {
        throw another(source, first == null ? "an empty file" : "no object");
      }
      for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
        names.add(name);
        if (parser.nextToken() == JsonToken.VALUE_NUMBER_INT && name.equals("format")) {
          format = parser.getText();
        }
        parser.skipChildren();
      }
    }
    if (format == null || !names.contains("policies")) {
      List<String> some = names.subList(0, Math.min(5, names.size()));
      throw another(source, "an object with " + String.join(", ", some));
    }
    if (!format.equals(String.valueOf(RunResult.FORMAT))) {
      throw new BadInputException(
          "%s: format: expected %d, found %s; use the version of Ringfence that wrote it"
              .formatted(source, RunResult.FORMAT, format));
    }
  }

  private static BadInputException another(String source, String found) {
    return new BadInputException(
        "%s: expected the result of a run (an object with format and policies), found %s"
            .formatted(source, firstLine(found)));
  }

  private static String place(@Nullable JsonLocation location) {
    return location == null
        ? ""
        : "line %d, column %d: ".formatted(location.getLineNr(), location.getColumnNr());
  }

  private static String mismatch(JsonMappingException e) {
    StringBuilder where = new StringBuilder();
    for (JsonMappingException.Reference reference : e.getPath()) {
      if (reference.getFieldName() == null) {
        where.append('[').append(reference.getIndex()).append(']');
      } else {
        where.append(where.isEmpty() ? "" : ".").append(reference.getFieldName());
      }
    }
    String expected =
        e instanceof MismatchedInputException mismatched && mismatched.getTargetType() != null
            ? "expected " + mismatched.getTargetType().getSimpleName().toLowerCase(Locale.ROOT)
            : "expected another value";
    String found =
        e instanceof InvalidFormatException invalid
            ? String.valueOf(invalid.getValue())
            : firstLine(e.getOriginalMessage());
    return "%s: %s, found %s".formatted(where, expected, found);
  }

  private static String firstLine(String text) {
    return text.lines().findFirst().orElse("");
  }

  /** JSON may leave out or null anything; what reads a result may rely on all of it being there. */
  private static void checkRecord(String source, String where, Record value) {
    for (RecordComponent component : COMPONENTS.get(value.getClass())) {
      Object content;
      try {
        content = component.getAccessor().invoke(value);
      } catch (ReflectiveOperationException e) {
        throw new LinkageError("accessors of our public records can be called", e);
      }
      String name = where.isEmpty() ? component.getName() : where + "." + component.getName();
      check(source, name, component, content);
    }
  }

  private static void check(
      String source, String name, RecordComponent component, @Nullable Object content) {
    switch (content) {
      case null ->
          throw new BadInputException(
              "%s: %s: expected %s, found nothing"
                  .formatted(source, name, component.getType().getSimpleName()));
      case Record inner when isResult(inner) -> checkRecord(source, name, inner);
      case List<?> list when component.getType() == List.class -> {
        for (int i = 0; i < list.size(); i++) {
          check(source, name + "[" + i + "]", component, list.get(i));
        }
      }
      default -> {
        // The value of a metric is the one component that Jackson fills with whatever it finds.
        boolean any = component.getType() == Object.class;
        if (any && !(content instanceof Number) && !(content instanceof String)) {
          throw new BadInputException(
              "%s: %s: expected a number or text, found %s".formatted(source, name, content));
        }
      }
    }
  }

  /** The manifest has parts that may be absent, and checks of its own. */
  private static boolean isResult(Record value) {
    return value.getClass().getPackage() == ResultFile.class.getPackage();
  }

  /**
   * Writes a result: the whole file or nothing.
   *
   * @throws BadInputException if it cannot be written
   */
  public static void write(RunResult result, Path file) {
    write(file, result);
  }

  /**
   * Writes what came out of attacks: the whole file or nothing.
   *
   * @throws BadInputException if it cannot be written
   */
  public static void write(AttackResult result, Path file) {
    write(file, result);
  }

  private static void write(Path file, Record result) {
    try {
      WholeFile.write(file, (JSON.writeValueAsString(result) + "\n").getBytes(UTF_8), "result");
    } catch (JsonProcessingException e) {
      throw new AssertionError("records of plain types have a JSON form", e);
    }
  }
}
