package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;

/** Apt knows no package of a name. */
public final class UnknownPackageException extends BadInputException {
  private static final long serialVersionUID = 1L;

  private final String packageName;
  private final String hint;

  /**
   * @param hint the nearest names as the end of a message, or empty
   */
  UnknownPackageException(String packageName, String hint) {
    super(
        "--package %s: apt knows no such package%s (is its list up to date? apt-get update)"
            .formatted(packageName, hint));
    this.packageName = packageName;
    this.hint = hint;
  }

  /** The name that was asked for. */
  public String packageName() {
    return packageName;
  }

  /** The nearest names as the end of a message; empty if there are none. */
  public String hint() {
    return hint;
  }
}
