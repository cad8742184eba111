package dev.ringfence.machine.decode;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** All instruction forms, indexed by opcode map and opcode byte. */
public final class InstructionTable {
  private static final String[] FILES = {
    "integer.table", "system.table", "x87.table", "vector.table"
  };

  private static final InstructionTable STANDARD = new InstructionTable();

  private final List<InstructionDefinition> rows = new ArrayList<>();
  private final InstructionDefinition[][] byOpcode = new InstructionDefinition[4 * 256][];

  private InstructionTable() {
    for (String file : FILES) {
      read(file);
    }
    List<List<InstructionDefinition>> lists = new ArrayList<>();
    for (int i = 0; i < byOpcode.length; i++) {
      lists.add(new ArrayList<>());
    }
    for (InstructionDefinition row : rows) {
      for (int i = 0; i < (row.registerInOpcode() ? 8 : 1); i++) {
        lists.get(row.map() << 8 | row.opcode() + i).add(row);
      }
    }
    for (int i = 0; i < byOpcode.length; i++) {
      byOpcode[i] = lists.get(i).toArray(InstructionDefinition[]::new);
    }
  }

  /** The table of this release. */
  public static InstructionTable standard() {
    return STANDARD;
  }

  /** All rows, in the order of the files. */
  public List<InstructionDefinition> rows() {
    return List.copyOf(rows);
  }

  /** Rows of one opcode: those with a mandatory prefix or other requirement compete by order. */
  InstructionDefinition[] candidates(int map, int opcode) {
    return byOpcode[map << 8 | opcode];
  }

  private void read(String file) {
    try (InputStream in = InstructionTable.class.getResourceAsStream(file)) {
      if (in == null) {
        throw new IllegalStateException("instruction table " + file + " is missing from the build");
      }
      BufferedReader reader = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
      int number = 0;
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        number++;
        if (!line.isBlank() && !line.startsWith("#")) {
          rows.add(InstructionDefinition.parse(line, file + ":" + number));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
