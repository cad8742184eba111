package dev.ringfence.lab.run;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.translate.TranslationMode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Everything that determines a run, and what came out of it, as a JSON file.
 *
 * @param format version of this description
 * @param versions of the software
 * @param machine what the machine is made of
 * @param request what the user asked for; with equal packages it gives the images again
 * @param images what was booted, with checksums
 * @param bootSnapshot name of the snapshot of the booted guest with which the run began; null if it
 *     booted. The run is the same either way
 * @param detailed where the run changes to detailed mode, a {@link DetailedMode.Start}; null if it
 *     does not
 * @param console input from the host, with the point at which it was given
 * @param result null while the run has not ended
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
public record Manifest(
    int format,
    Versions versions,
    Hardware machine,
    Request request,
    Images images,
    @Nullable String bootSnapshot,
    DetailedMode.@Nullable Start detailed,
    List<ConsoleInput> console,
    @Nullable Result result) {
  private static final int FORMAT = 1;

  private static final ObjectMapper JSON =
      new ObjectMapper()
          .enable(SerializationFeature.INDENT_OUTPUT)
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES);

  /** Which software ran; the Java version is for reports only, results do not depend on it. */
  public record Versions(String ringfence, String java) {}

  /** {@link MachineConfiguration} in types of JSON. */
  public record Hardware(
      long memoryBytes,
      int processors,
      String cpuModel,
      List<DiskImage> disks,
      long seed,
      String startDate,
      int debugExitPort) {
    static Hardware of(MachineConfiguration machine) {
      return new Hardware(
          machine.memoryBytes(),
          machine.processors(),
          machine.cpuModel(),
          machine.disks().stream()
              .map(disk -> new DiskImage(disk.file().toString(), disk.writable()))
              .toList(),
          machine.seed(),
          machine.startDate().toString(),
          machine.debugExitPort());
    }

    MachineConfiguration toConfiguration() {
      return new MachineConfiguration(
          memoryBytes,
          processors,
          cpuModel,
          disks.stream().map(disk -> new Disk(Path.of(disk.path), disk.writable)).toList(),
          seed,
          Instant.parse(startDate),
          debugExitPort,
          TranslationMode.ON);
    }
  }

  /** A disk. */
  public record DiskImage(String path, boolean writable) {}

  /** {@link GuestRequest} in types of JSON. */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  public record Request(
      @Nullable String kernel,
      @Nullable String initrd,
      List<String> packages,
      List<String> overlays,
      @Nullable List<String> modules,
      @Nullable String command,
      String append,
      @Nullable String terminal,
      boolean verbose) {
    static Request of(GuestRequest request) {
      return new Request(
          text(request.kernel()),
          text(request.initrd()),
          request.packages(),
          request.overlays().stream().map(Path::toString).toList(),
          request.modules(),
          request.command(),
          request.append(),
          request.terminal(),
          request.verbose());
    }

    private static @Nullable String text(@Nullable Path path) {
      return path == null ? null : path.toString();
    }

    private static @Nullable Path path(@Nullable String text) {
      return text == null ? null : Path.of(text);
    }

    GuestRequest toRequest() {
      return new GuestRequest(
          path(kernel),
          path(initrd),
          packages,
          overlays.stream().map(Path::of).toList(),
          modules == null ? List.of() : modules,
          command,
          append,
          terminal,
          verbose);
    }
  }

  /** What was placed in the guest's memory. */
  public record Images(Image kernel, List<Image> initrds, String commandLine) {}

  /** A file. */
  public record Image(String name, long bytes, String sha256) {
    static Image of(BootFile file) {
      return new Image(file.baseName(), file.size(), file.sha256());
    }
  }

  /**
   * Bytes from the host to a port.
   *
   * @param instructions executed before it
   * @param nanoseconds virtual time at that point
   */
  public record ConsoleInput(long instructions, long nanoseconds, String port, byte[] bytes) {}

  /**
   * How a run ended.
   *
   * @param consoleSha256 of all bytes that the guest wrote to the first serial port
   */
  public record Result(
      String end, int status, long instructions, long nanoseconds, String consoleSha256) {}

  /** Describes a run that is about to begin. */
  public static Manifest of(
      String ringfence, MachineConfiguration machine, GuestRequest request, PreparedGuest guest) {
    return new Manifest(
        FORMAT,
        new Versions(ringfence, Runtime.version().toString()),
        Hardware.of(machine),
        Request.of(request),
        new Images(
            Image.of(guest.image().file()),
            guest.initrds().stream().map(Image::of).toList(),
            guest.commandLine()),
        null,
        null,
        List.of(),
        null);
  }

  /** The same run, further on. */
  public Manifest with(List<ConsoleInput> input, @Nullable Result outcome) {
    return new Manifest(
        format, versions, machine, request, images, bootSnapshot, detailed, input, outcome);
  }

  /** The same run, in detailed mode from some point on, or not. */
  public Manifest inDetailFrom(DetailedMode.@Nullable Start start) {
    return new Manifest(
        format, versions, machine, request, images, bootSnapshot, start, console, result);
  }

  /**
   * The same run, begun otherwise.
   *
   * @param snapshot name of the snapshot of the booted guest, or null for a boot
   */
  public Manifest startedFrom(@Nullable String snapshot) {
    return new Manifest(
        format, versions, machine, request, images, snapshot, detailed, console, result);
  }

  public MachineConfiguration configuration() {
    return machine.toConfiguration();
  }

  public GuestRequest guestRequest() {
    return request.toRequest();
  }

  /**
   * Throws unless a guest that was prepared anew is the one of this run.
   *
   * @param source of this manifest, for the message
   */
  public void checkImages(String source, PreparedGuest guest) {
    check(source, images.kernel, guest.image().file());
    if (guest.initrds().size() != images.initrds.size()) {
      throw new BadInputException(
          "%s: expected %d initrds, found %d"
              .formatted(source, images.initrds.size(), guest.initrds().size()));
    }
    for (int i = 0; i < images.initrds.size(); i++) {
      check(source, images.initrds.get(i), guest.initrds().get(i));
    }
  }

  private static void check(String source, Image expected, BootFile found) {
    String sha256 = found.sha256();
    if (!sha256.equals(expected.sha256)) {
      throw new BadInputException(
          "%s: expected %s with SHA-256 %s, found %s with %s (packages have changed since?)"
              .formatted(source, expected.name, expected.sha256, found.baseName(), sha256));
    }
  }

  public String toJson() {
    try {
      return JSON.writeValueAsString(this) + "\n";
    } catch (JsonProcessingException e) {
      throw new AssertionError("records of plain types have a JSON form", e);
    }
  }

  public void writeTo(Path file) {
    try {
      Files.writeString(file, toJson());
    } catch (IOException e) {
      throw new BadInputException(
          "%s: manifest cannot be written: %s".formatted(file, BadInputException.reason(e)), e);
    }
  }

  /** Reads what {@link #toJson} wrote. */
  public static Manifest parse(String source, String json) {
    try {
      Manifest manifest = JSON.readValue(json, Manifest.class);
      if (manifest == null
          || manifest.format != FORMAT
          || manifest.machine == null
          || manifest.request == null
          || manifest.images == null
          || manifest.console == null) {
        throw new BadInputException(
            "%s: expected a manifest of format %d, found another one".formatted(source, FORMAT));
      }
      manifest.machine.toConfiguration();
      return manifest;
    } catch (JsonProcessingException e) {
      throw new BadInputException(
          "%s: expected a manifest, found: %s".formatted(source, e.getOriginalMessage()), e);
    } catch (DateTimeException e) {
      throw new BadInputException(
          "%s: expected a date in machine.startDate, found: %s".formatted(source, e.getMessage()),
          e);
    }
  }

  public static Manifest read(Path file) {
    try {
      return parse(file.toString(), Files.readString(file));
    } catch (IOException e) {
      throw new BadInputException("%s: manifest cannot be read: %s".formatted(file, e), e);
    }
  }
}
