package dev.ringfence.machine;

/**
 * An input from outside (kernel image, initramfs, package, disk, snapshot, CPU model, option) is
 * missing, broken or not what it should be. The message is one line for the user: which input,
 * where in it, what was expected and what was found. The command line prints it and leaves with
 * status 2.
 */
public class BadInputException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** An input that is wrong as a whole. */
  public BadInputException(String message) {
    super(message);
  }

  /** An input that is wrong as a whole, found by another library. */
  public BadInputException(String message, Throwable cause) {
    super(message, cause);
  }

  /**
   * An input that is wrong at one place.
   *
   * @param input the file or option, as the user named it
   * @param offset the byte at which the wrong thing begins
   */
  public static BadInputException at(String input, long offset, String expected, String found) {
    return new BadInputException(
        "%s: at offset 0x%x: expected %s, found %s".formatted(input, offset, expected, found));
  }
}
