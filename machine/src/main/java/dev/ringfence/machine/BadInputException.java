package dev.ringfence.machine;

import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

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

  /** Why the host could not read or write a file, in words for the user. */
  public static String reason(Exception failure) {
    return switch (failure) {
      case NoSuchFileException e -> "no such file or folder";
      case FileAlreadyExistsException e -> "a file of that name";
      case AccessDeniedException e -> "permission denied";
      case FileSystemException e when e.getReason() != null -> e.getReason();
      default -> failure.getMessage() == null ? failure.toString() : failure.getMessage();
    };
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
