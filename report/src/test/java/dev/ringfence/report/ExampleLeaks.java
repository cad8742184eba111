package dev.ringfence.report;

import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.result.LeakMatrix.Column;
import dev.ringfence.lab.result.LeakMatrix.Evidence;
import dev.ringfence.lab.result.LeakMatrix.Held;
import dev.ringfence.lab.result.LeakMatrix.Row;
import dev.ringfence.lab.result.LeakMatrix.TransientLoad;
import java.util.ArrayList;
import java.util.List;

/** A made-up leak matrix in the shape of a real one, with each outcome that there is. */
final class ExampleLeaks {
  private static final List<String> COLUMNS =
      List.of(
          "none", "linux-default", "linux-l1d-flush", "google-2025", "google-2025-without-ibpb");

  private ExampleLeaks() {}

  static LeakMatrix matrix() {
    List<Row> rows = new ArrayList<>();
    for (String attack : List.of("meltdown", "l1tf", "spectre-v2")) {
      for (String target : List.of("process", "kernel-key")) {
        rows.add(
            new Row(
                attack,
                target,
                "The attack " + attack,
                "Where the secret lies: " + target,
                "A property of the processor that " + attack + " needs.",
                List.of("A paper about " + attack)));
      }
    }
    List<Column> columns =
        COLUMNS.stream()
            .map(name ->
                new Column(
                    name,
                    "What " + name + " is",
                    name.startsWith("linux") ? name + "=on" : "",
                    name.startsWith("google") ? "google-2025" : "",
                    name.endsWith("ibpb") ? "ibpb" : ""))
            .toList();
    List<Cell> cells = new ArrayList<>();
    for (Row row : rows) {
      for (Column column : columns) {
        cells.add(cell(row, column));
      }
    }
    return new LeakMatrix("skylake-server", 4711, LeakMatrix.COMPLETE, "", columns, rows, cells);
  }

  private static Cell cell(Row row, Column column) {
    boolean key = row.target().equals("kernel-key");
    return switch (column.name()) {
      case "none" -> ran(row, column, Cell.LEAKED, Cell.LEAKED, 8);
      case "linux-l1d-flush" ->
          new Cell(
              row.attack(),
              row.target(),
              column.name(),
              Cell.NOT_APPLICABLE,
              "No virtual machine runs here.",
              Cell.NOT_APPLICABLE,
              "No virtual machine runs here.",
              "mitigations.yaml",
              true,
              Evidence.NONE);
      case "google-2025" ->
          ran(
              row,
              column,
              key ? Cell.LEAKED : Cell.NOT_LEAKED,
              key ? Cell.LEAKED : Cell.NOT_LEAKED,
              key ? 8 : 0);
      case "google-2025-without-ibpb" ->
          row.attack().equals("spectre-v2") && !key
              ? ran(row, column, Cell.LEAKED, Cell.NOT_LEAKED, 7)
              : row.attack().equals("l1tf")
                  ? ran(row, column, Cell.FAILED, Cell.NOT_LEAKED, 0)
                  : ran(row, column, Cell.NOT_LEAKED, Cell.NOT_LEAKED, 0);
      default -> ran(row, column, Cell.NOT_LEAKED, Cell.NOT_LEAKED, 0);
    };
  }

  private static Cell ran(Row row, Column column, String outcome, String expected, int right) {
    String secret = "a9a8347de68890cd";
    return new Cell(
        row.attack(),
        row.target(),
        column.name(),
        outcome,
        outcome.equals(Cell.FAILED) ? "the set-up did not come to its end" : "",
        expected,
        "What is published about it.",
        "A kernel document (S)",
        outcome.equals(expected),
        new Evidence(
            "told all that it had found",
            right,
            8,
            right * 2_500.0,
            Math.pow(256, -right),
            secret,
            secret.substring(0, 2 * right) + "??".repeat(8 - right),
            List.of(99.0, 98.5, 97.0, 100.0, 100.0, 88.25, 91.0, 0.0),
            3_442_143,
            3_500_000,
            List.of(
                new TransientLoad("user mode, 0x401a2c", "forbidden", right > 0, 812),
                new TransientLoad("bpf_dispatcher_nop_func+0x4", "unmapped", false, 3)),
            List.of(new Held("l1 data", right, 120, right), new Held("l3", 120, 120, 8)),
            List.of("# calibrated")));
  }

  /** One cell whose every text is the given one. */
  static LeakMatrix named(String name) {
    return new LeakMatrix(
        name,
        1,
        LeakMatrix.PARTIAL,
        name,
        List.of(new Column(name, name, name, name, name)),
        List.of(new Row(name, name, name, name, name, List.of(name))),
        List.of(
            new Cell(
                name,
                name,
                name,
                name,
                name,
                name,
                name,
                name,
                false,
                new Evidence(
                    name,
                    1,
                    8,
                    1,
                    1,
                    name,
                    name,
                    List.of(1.0),
                    1,
                    1,
                    List.of(new TransientLoad(name, name, true, 1)),
                    List.of(new Held(name, 1, 1, 1)),
                    List.of(name)))));
  }
}
