package dev.ringfence.lab.run;

import dev.ringfence.lab.guest.CodeDigest;
import dev.ringfence.lab.guest.ContentDigest;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Disk;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.snapshot.Snapshot;
import dev.ringfence.machine.snapshot.SnapshotException;
import dev.ringfence.machine.snapshot.Stateful;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Snapshots of guests whose system is up, in the user's cache, so that the next guest that is equal
 * up to there need not boot.
 *
 * <p>A snapshot is named by a digest of all that the boot depends on: the bytes of kernel and
 * archives, the command line, the machine with its disks, and the code of Ringfence itself. What
 * the guest is to do is not in there, because it is told afterwards ({@link
 * dev.ringfence.lab.guest.Assignment}). So a run from a snapshot is equal to one that booted by
 * construction, and a stale snapshot is never found.
 *
 * <p>Several processes may use the cache: files appear by a rename and are never changed.
 */
public final class BootSnapshots {
  /** Snapshots that are kept; those that were not used for longest go. */
  static final int MOST = 24;

  private static final String SUFFIX = ".snapshot";
  private static final String UNFINISHED = ".new";

  private final GuestCache cache;
  private final Path folder;
  private final boolean fresh;
  private final String version;
  private final Consumer<String> progress;

  /**
   * @param cache where snapshots stay
   * @param fresh whether to boot anew even if there is a snapshot, which is replaced then
   * @param version of Ringfence, for the manifests of snapshots
   * @param progress told what happens, one line each
   */
  public BootSnapshots(GuestCache cache, boolean fresh, String version, Consumer<String> progress) {
    this.cache = cache;
    this.folder = cache.snapshots();
    this.fresh = fresh;
    this.version = version;
    this.progress = progress;
  }

  /** The version of Ringfence that manifests name. */
  public String version() {
    return version;
  }

  /** A new file for a snapshot that lasts no longer than this process. */
  public Path temporaryFile() {
    return cache.temporaryFile(SUFFIX);
  }

  /**
   * A machine at its start: at power-on, or when its system is up.
   *
   * @param session with the machine, which the caller closes
   * @param snapshot name of the snapshot from which it goes on, or null if it boots
   * @param key name under which the booted system can be kept, or null if it cannot be
   */
  public record Start(GuestSession session, @Nullable String snapshot, @Nullable String key) {
    /** Whether the machine goes on from a snapshot. */
    public boolean isFromSnapshot() {
      return snapshot != null;
    }
  }

  /**
   * Makes a machine and brings it to its start.
   *
   * @param connect makes the session of a machine
   * @param observers whose state belongs to the snapshot beside machine and session
   */
  public Start start(
      PreparedGuest guest,
      MachineConfiguration configuration,
      Function<Machine, GuestSession> connect,
      List<Stateful> observers) {
    String key = key(guest, configuration, observers).orElse(null);
    if (key != null && !fresh) {
      GuestSession session = restored(key, configuration, connect, observers);
      if (session != null) {
        return new Start(session, key, key);
      }
    }
    return booting(guest, configuration, connect, key);
  }

  /** Makes a machine that boots, whatever snapshots there are, and is not kept. */
  public static Start booting(
      PreparedGuest guest,
      MachineConfiguration configuration,
      Function<Machine, GuestSession> connect) {
    return booting(guest, configuration, connect, null);
  }

  private static Start booting(
      PreparedGuest guest,
      MachineConfiguration configuration,
      Function<Machine, GuestSession> connect,
      @Nullable String key) {
    Machine machine = new Machine(configuration);
    try {
      guest.loadInto(machine);
      return new Start(connect.apply(machine), null, key);
    } catch (RuntimeException | Error e) {
      machine.close();
      throw e;
    }
  }

  private @Nullable GuestSession restored(
      String key,
      MachineConfiguration configuration,
      Function<Machine, GuestSession> connect,
      List<Stateful> observers) {
    Path file = folder.resolve(key + SUFFIX);
    if (!Files.isRegularFile(file)) {
      return null;
    }
    Machine machine = new Machine(configuration);
    try {
      Instant taken = Files.getLastModifiedTime(file).toInstant();
      Snapshot snapshot = Snapshot.open(file);
      GuestSession session = connect.apply(machine);
      session.restore(snapshot, observers);
      GuestCache.touch(file);
      progress.accept(
          "from the snapshot of the booted guest of "
              + taken.truncatedTo(ChronoUnit.SECONDS)
              + " (--fresh boots anew)");
      return session;
    } catch (SnapshotException | IOException e) {
      machine.close();
      progress.accept(e.getMessage() + "; booting anew");
      delete(file);
      return null;
    } catch (RuntimeException | Error e) {
      machine.close();
      throw e;
    }
  }

  /**
   * Keeps the system that is up now, for later runs. A cache that cannot be written costs a line,
   * not the run.
   *
   * @param observers as they were given to {@link #start}
   */
  public void keep(
      Start start,
      GuestRequest request,
      PreparedGuest guest,
      MachineConfiguration configuration,
      List<Stateful> observers) {
    String key = start.key();
    if (key == null || start.isFromSnapshot() || !start.session().isPlainBoot()) {
      return;
    }
    Path unfinished = null;
    try {
      unfinished = Files.createTempFile(folder, key, UNFINISHED);
      start
          .session()
          .saveSnapshot(
              unfinished,
              Manifest.of(version, configuration, request, guest),
              observers,
              Snapshot.Storage.COMPRESSED);
      Files.move(
          unfinished,
          folder.resolve(key + SUFFIX),
          StandardCopyOption.ATOMIC_MOVE,
          StandardCopyOption.REPLACE_EXISTING);
      GuestCache.keepNewest(folder, SUFFIX, MOST);
    } catch (IOException | BadInputException e) {
      progress.accept("the booted guest is not kept for the next run: " + e.getMessage());
      if (unfinished != null) {
        delete(unfinished);
      }
    }
  }

  private static void delete(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      // It stays; whoever finds it broken boots anew.
    }
  }

  /**
   * Name of the snapshot of a guest; empty if its system does not tell when it is up, or depends on
   * what changes unseen: disks that runs write to.
   */
  static Optional<String> key(
      PreparedGuest guest, MachineConfiguration configuration, List<Stateful> observers) {
    if (guest.assignment() == null || configuration.disks().stream().anyMatch(Disk::writable)) {
      return Optional.empty();
    }
    Optional<String> code = CodeDigest.of(Machine.class, RunningKernel.class, BootSnapshots.class);
    if (code.isEmpty()) {
      return Optional.empty();
    }
    ContentDigest digest = new ContentDigest();
    digest.add("code", code.get());
    digest.add("format", String.valueOf(Snapshot.VERSION));
    digest.add("machine", configuration.toString());
    try {
      if (!CpuModel.available().contains(configuration.cpuModel())) {
        // A name that is none gets its complaint here, before a file is looked for.
        CpuModel.load(configuration.cpuModel());
        digest.add("CPU model", Files.readString(Path.of(configuration.cpuModel())));
      }
      for (Disk disk : configuration.disks()) {
        digest.addState("disk", disk.file());
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    digest.add("kernel", guest.image().file().sha256());
    for (BootFile initrd : guest.initrds()) {
      digest.add("initrd", initrd.sha256());
    }
    digest.add("command line", guest.commandLine());
    for (Stateful observer : observers) {
      digest.add("observer", observer.stateName());
    }
    return Optional.of(digest.hexadecimal());
  }
}
