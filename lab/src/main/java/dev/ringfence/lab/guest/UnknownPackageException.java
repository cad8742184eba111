package dev.ringfence.lab.guest;

import dev.ringfence.machine.BadInputException;

/** Apt knows no package of a name. */
public final class UnknownPackageException extends BadInputException {
  private static final long serialVersionUID = 1L;

  private final String packageName;

  UnknownPackageException(String packageName) {
    super(
        "--package %s: apt knows no such package (is its list up to date? apt-get update)"
            .formatted(packageName));
    this.packageName = packageName;
  }

  /** The name that was asked for. */
  public String packageName() {
    return packageName;
  }
}
