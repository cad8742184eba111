package dev.ringfence.report;

import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.result.LeakMatrix.Column;
import dev.ringfence.lab.result.LeakMatrix.Row;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The leak matrix for the terminal: attacks and targets down, mitigations across. */
public final class LeakText {
  private static final String UNEXPECTED = "!";
  private static final int NAME_WIDTH = 36;

  private LeakText() {}

  /** The matrix, why cells are not applicable, and each cell that is not as published. */
  public static List<String> lines(LeakMatrix matrix) {
    List<String> lines = new ArrayList<>();
    if (matrix.state().equals(LeakMatrix.LEFT_OUT)) {
      lines.addAll(Texts.wrap("No attacks: " + matrix.reason(), TextReport.WIDTH, ""));
      return lines;
    }
    lines.addAll(
        Texts.wrap(
            "Secrets that came out on %s, seed %d".formatted(matrix.cpuModel(), matrix.seed()),
            TextReport.WIDTH,
            ""));
    if (matrix.state().equals(LeakMatrix.PARTIAL)) {
      lines.addAll(Texts.wrap("PARTIAL: " + matrix.reason(), TextReport.WIDTH, ""));
    }
    Map<String, Cell> cells = byPlace(matrix);
    TextTable named = table(matrix, cells, false);
    if (named.width() <= TextReport.WIDTH) {
      lines.addAll(named.lines());
      lines.add("  -: nothing came out");
    } else {
      lines.addAll(table(matrix, cells, true).lines());
      lines.addAll(legend(matrix));
    }
    lines.addAll(notApplicable(matrix));
    lines.addAll(unexpected(matrix));
    return lines;
  }

  private static Map<String, Cell> byPlace(LeakMatrix matrix) {
    Map<String, Cell> cells = new LinkedHashMap<>();
    matrix
        .cells()
        .forEach(cell -> cells.put(place(cell.attack(), cell.target(), cell.column()), cell));
    return cells;
  }

  private static String place(String attack, String target, String column) {
    return attack + "\n" + target + "\n" + column;
  }

  private static TextTable table(LeakMatrix matrix, Map<String, Cell> cells, boolean compact) {
    List<String> titles = new ArrayList<>(List.of("attack", "target"));
    List<Boolean> numeric = new ArrayList<>(List.of(false, false));
    for (int i = 0; i < matrix.columns().size(); i++) {
      titles.add(compact ? letter(i) : name(matrix.columns().get(i).name()));
      numeric.add(false);
    }
    TextTable table =
        compact ? new TextTable(titles, numeric, " ") : new TextTable(titles, numeric);
    String previous = "";
    for (Row row : matrix.rows()) {
      List<String> line = new ArrayList<>();
      line.add(row.attack().equals(previous) ? "" : Texts.fit(Texts.plain(row.attack()), 18));
      line.add(Texts.fit(Texts.plain(row.target()), 18));
      previous = row.attack();
      for (Column column : matrix.columns()) {
        line.add(sign(cells.get(place(row.attack(), row.target(), column.name())), compact));
      }
      table.add(line);
    }
    return table;
  }

  private static String name(String column) {
    return Texts.fit(Texts.plain(column), NAME_WIDTH);
  }

  /** A, B, ..., Z, AA, AB. */
  private static String letter(int index) {
    String last = Character.toString('A' + index % 26);
    return index < 26 ? last : letter(index / 26 - 1) + last;
  }

  private static String sign(@Nullable Cell cell, boolean compact) {
    if (cell == null) {
      return "";
    }
    String sign =
        switch (cell.outcome()) {
          case Cell.LEAKED -> compact ? "X" : "leaked";
          case Cell.NOT_LEAKED -> "-";
          case Cell.NOT_APPLICABLE -> compact ? "." : "n/a";
          default -> compact ? "?" : "failed";
        };
    return cell.agrees() ? sign : sign + UNEXPECTED;
  }

  private static List<String> legend(LeakMatrix matrix) {
    List<String> lines = new ArrayList<>();
    lines.add(
        "  X: leaked   -: nothing came out   .: not applicable   ?: failed   !: not as published");
    TextTable table =
        new TextTable(List.of("", "mitigation", "what it is"), List.of(true, false, false));
    for (int i = 0; i < matrix.columns().size(); i++) {
      Column column = matrix.columns().get(i);
      table.add(
          List.of(letter(i), name(column.name()), Texts.fit(Texts.plain(column.title()), 76)));
    }
    lines.addAll(table.lines());
    return lines;
  }

  /** Each reason once, with the columns or the attacks that it is about, whichever are fewer. */
  private static List<String> notApplicable(LeakMatrix matrix) {
    Map<String, List<Cell>> byReason = new LinkedHashMap<>();
    for (Cell cell : matrix.cells()) {
      if (cell.outcome().equals(Cell.NOT_APPLICABLE)) {
        byReason.computeIfAbsent(cell.reason(), unused -> new ArrayList<>()).add(cell);
      }
    }
    List<String> lines = new ArrayList<>();
    byReason.forEach((reason, cells) -> {
      Set<String> columns = new LinkedHashSet<>();
      Set<String> attacks = new LinkedHashSet<>();
      cells.forEach(cell -> {
        columns.add(cell.column());
        attacks.add(cell.attack());
      });
      lines.addAll(
          Texts.wrap(
              "n/a %s: %s"
                  .formatted(
                      String.join(", ", columns.size() <= attacks.size() ? columns : attacks),
                      reason),
              TextReport.WIDTH,
              "  "));
    });
    return lines;
  }

  private static List<String> unexpected(LeakMatrix matrix) {
    List<String> lines = new ArrayList<>();
    for (Cell cell : matrix.cells()) {
      if (!cell.agrees()) {
        String what =
            "NOT AS PUBLISHED: %s, %s, under %s: %s%s"
                .formatted(
                    cell.attack(),
                    cell.target(),
                    cell.column(),
                    cell.outcome(),
                    cell.reason().isEmpty() ? "" : " (" + cell.reason() + ")");
        String why =
            cell.expected().isEmpty()
                ? ""
                : "; expected %s: %s [%s]"
                    .formatted(cell.expected(), cell.expectedReason(), cell.source());
        lines.addAll(Texts.wrap(what + why, TextReport.WIDTH, ""));
      }
    }
    return lines;
  }
}
