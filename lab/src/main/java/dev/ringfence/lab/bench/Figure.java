package dev.ringfence.lab.bench;

import dev.ringfence.machine.BadInputException;
import java.util.Locale;

/** What {@code bench reference} measures, with what it is held to. */
public enum Figure {
  /** Both see which pages the kernel touches. */
  A("google-2025 against QEMU with a callback on every access", "ratio", 1.0, 0.4),
  /** With the start of the JVM and without any snapshot. */
  B("no isolation against plain QEMU, cold", "ratio", 4.0, 1.0),
  /** Ten times the work after the boot. */
  C("long job, no isolation, against plain QEMU", "ratio", 2.0, 0.8),
  /** What isolation costs. */
  D("long job, google-2025 on against off", "ratio", 1.10, 1.03),
  /** Largest resident memory of our process less the size of the guest's RAM. */
  E("largest resident memory above guest RAM", "MiB", 1.2 * 1024, 600);

  private final String title;
  private final String unit;
  private final double must;
  private final double aim;

  Figure(String title, String unit, double must, double aim) {
    this.title = title;
    this.unit = unit;
    this.must = must;
    this.aim = aim;
  }

  /**
   * The figure of a letter.
   *
   * @throws BadInputException if there is none
   */
  public static Figure of(String letter) {
    for (Figure figure : values()) {
      if (figure.name().equals(letter.strip().toUpperCase(Locale.ROOT))) {
        return figure;
      }
    }
    throw new BadInputException(
        "--figure: expected letters from a to e, separated by commas, found '%s'"
            .formatted(letter));
  }

  /** For people. */
  public String title() {
    return title;
  }

  /** Of value, must and aim. */
  public String unit() {
    return unit;
  }

  /** The largest value that is acceptable. */
  public double must() {
    return must;
  }

  /** The largest value that is wanted. */
  public double aim() {
    return aim;
  }
}
