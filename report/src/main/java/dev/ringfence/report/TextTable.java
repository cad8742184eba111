package dev.ringfence.report;

import java.util.ArrayList;
import java.util.List;

/** Columns of text, each as wide as its widest cell. */
final class TextTable {
  private static final String GAP = "  ";

  private final String gap;
  private final List<String> titles;
  private final List<Boolean> numeric;
  private final List<List<String>> rows = new ArrayList<>();

  /**
   * @param numeric columns that are aligned at their right
   */
  TextTable(List<String> titles, List<Boolean> numeric) {
    this(titles, numeric, GAP);
  }

  /**
   * @param numeric columns that are aligned at their right
   * @param gap between columns
   */
  TextTable(List<String> titles, List<Boolean> numeric, String gap) {
    this.titles = titles;
    this.numeric = numeric;
    this.gap = gap;
  }

  void add(List<String> cells) {
    rows.add(cells.stream().map(Texts::plain).toList());
  }

  int width() {
    int width = gap.length() * (titles.size() - 1);
    for (int column = 0; column < titles.size(); column++) {
      width += width(column);
    }
    return width;
  }

  private int width(int column) {
    int width = titles.get(column).length();
    for (List<String> row : rows) {
      width = Math.max(width, row.get(column).length());
    }
    return width;
  }

  List<String> lines() {
    List<String> lines = new ArrayList<>();
    lines.add(line(titles));
    for (List<String> row : rows) {
      lines.add(line(row));
    }
    return lines;
  }

  private String line(List<String> cells) {
    StringBuilder line = new StringBuilder();
    for (int column = 0; column < cells.size(); column++) {
      String cell = cells.get(column);
      String blank = " ".repeat(width(column) - cell.length());
      line.append(column == 0 ? "" : gap).append(numeric.get(column) ? blank + cell : cell + blank);
    }
    return line.toString().stripTrailing();
  }
}
