package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.monitor.Auditor;
import dev.ringfence.isolation.monitor.ExposureSampler;
import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.lab.profile.GuestProfile;
import dev.ringfence.lab.profile.KernelFunctions;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.lab.run.Manifest;
import dev.ringfence.lab.workload.Marker;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.StopReason;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.profile.Profile;
import dev.ringfence.machine.profile.Profiler;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One run of an experiment: boots the guest without isolation, attaches the monitor when the
 * command begins, counts between marks, and makes the result.
 */
public final class IsolationRun {
  /** Reason of a result that is partial because {@link #interrupt} was called. */
  public static final String INTERRUPTED = "interrupted";

  private static final long STEP = GuestBoot.STEP;

  /**
   * Virtual time between samples of exposure: some tens in a shipped workload. A sample looks at
   * every page of RAM; at 40 ms they were half of all that isolation costs.
   */
  private static final long SAMPLE_INTERVAL = 100_000_000;

  private final Experiment experiment;
  private final OutputStream console;
  private final OutputStream output;
  private final Consumer<Progress> progress;
  private final @Nullable BootSnapshots snapshots;
  private boolean profiling;
  private volatile boolean interrupted;

  /**
   * How far a run is.
   *
   * @param stage what is being done, for people
   * @param instructions since power-on
   */
  public record Progress(String stage, long instructions) {}

  /**
   * A run that boots.
   *
   * @param console takes what the guest writes to its console
   * @param output takes what the workload's command prints
   * @param progress told every few milliseconds of virtual time
   */
  public IsolationRun(
      Experiment experiment,
      OutputStream console,
      OutputStream output,
      Consumer<Progress> progress) {
    this(experiment, console, output, progress, null);
  }

  /**
   * A run.
   *
   * @param console takes what the guest writes to its console
   * @param output takes what the workload's command prints
   * @param progress told every few milliseconds of virtual time
   * @param snapshots of booted guests, from which it goes on if there is one; null to boot
   */
  public IsolationRun(
      Experiment experiment,
      OutputStream console,
      OutputStream output,
      Consumer<Progress> progress,
      @Nullable BootSnapshots snapshots) {
    this.experiment = experiment;
    this.console = console;
    this.output = output;
    this.progress = progress;
    this.snapshots = snapshots;
  }

  /** Has the run profiled from where the command begins. */
  public void setProfiling(boolean wanted) {
    profiling = wanted;
  }

  /**
   * Ends the run soon; {@link #execute} returns what was counted so far. May be called by another
   * thread.
   */
  public void interrupt() {
    interrupted = true;
  }

  /**
   * What came out.
   *
   * @param trouble what the guest ran into, or null; the result is partial then
   * @param profile where time went, or null if it was not wanted
   */
  public record Outcome(
      RunResult result, @Nullable GuestTroubleException trouble, @Nullable GuestProfile profile) {}

  /**
   * Runs to the end.
   *
   * @param version of Ringfence, for the manifest
   * @throws BadInputException if the kernel lacks what the policies need, or a policy names what it
   *     does not have
   */
  public Outcome execute(String version) {
    Ahead<Manifest> description =
        Ahead.of(
            "manifest",
            () ->
                Manifest.of(
                    version, experiment.configuration(), experiment.request(), experiment.guest()));
    GuestBoot.Booted booted =
        new GuestBoot(
                experiment,
                console,
                output,
                () -> interrupted,
                instructions -> progress.accept(new Progress("booting", instructions)),
                snapshots)
            .run();
    GuestSession session = booted.session();
    KernelView kernel = booted.kernel();
    try (Machine machine = session.machine()) {
      Manifest manifest = description.get().startedFrom(booted.snapshot());
      try (IsolationMonitor monitor =
          new IsolationMonitor(
              machine, kernel, experiment.policies(), experiment.costs().vulnerabilities())) {
        return measure(machine, session, kernel, monitor, manifest);
      }
    }
  }

  private Outcome measure(
      Machine machine,
      GuestSession session,
      KernelView kernel,
      IsolationMonitor monitor,
      Manifest manifest) {
    Auditor auditor = experiment.audit() ? new Auditor(monitor) : null;
    ExposureSampler sampler = new ExposureSampler(monitor, SAMPLE_INTERVAL);
    Marks marks = new Marks(monitor, sampler, experiment.phases());
    monitor.add(marks);
    marks.start();
    String reason = "";
    String end = "Interrupted";
    GuestTroubleException trouble = null;
    Profiler profiler = profiling ? Profiler.start(machine) : null;
    try {
      Optional<StopReason> stop = Optional.empty();
      while (stop.isEmpty() && !interrupted) {
        stop = session.advance(STEP);
        progress.accept(new Progress(marks.stage(), machine.instructions()));
      }
      if (stop.isEmpty()) {
        reason = INTERRUPTED;
      } else {
        end = stop.get().getClass().getSimpleName();
        if (!experiment.ownInitramfs() && session.commandStatus().orElse(-1) != 0) {
          reason =
              session.commandStatus().isEmpty()
                  ? "the guest ended before the command did"
                  : "the command ended with status " + session.commandStatus().getAsInt();
        }
      }
    } catch (GuestTroubleException e) {
      trouble = e;
      reason = "the guest ran into trouble: " + e.getMessage().lines().findFirst().orElse("");
      end = "Trouble";
    }
    Profile profile = profiler == null ? null : profiler.stop();
    marks.finish();
    Manifest.Result outcome = session.result(end, session.commandStatus().orElse(-1));
    RunResult result =
        new ResultBuilder(experiment, machine, kernel, monitor, sampler, marks, auditor)
            .build(
                reason, manifest.with(session.recordedInput(), outcome), outcome.consoleSha256());
    return new Outcome(
        result,
        trouble,
        profile == null
            ? null
            : GuestProfile.of(
                profile, KernelFunctions.of(machine, experiment.guest().image().file())));
  }

  /** What marks of the guest make of the counts. */
  static final class Marks implements IsolationMonitor.RunListener {
    private final IsolationMonitor monitor;
    private final ExposureSampler sampler;
    private final List<String> names;
    private final RegionCounts region;
    private final List<RegionCounts> phases = new ArrayList<>();
    private boolean marked;
    private String phase = "";

    Marks(IsolationMonitor monitor, ExposureSampler sampler, List<String> names) {
      this.monitor = monitor;
      this.sampler = sampler;
      this.names = names;
      this.region = new RegionCounts(monitor);
      for (int i = 0; i < names.size(); i++) {
        phases.add(new RegionCounts(monitor));
      }
    }

    RegionCounts region() {
      return region;
    }

    List<RegionCounts> phases() {
      return phases;
    }

    /** Without marks, everything from here on counts. */
    void start() {
      region.begin();
      sampler.setActive(true);
    }

    void finish() {
      region.end();
      phases.forEach(RegionCounts::end);
      sampler.setActive(false);
    }

    String stage() {
      if (!marked) {
        return "running";
      }
      return region.isOpen() ? phase.isEmpty() ? "measuring" : "measuring " + phase : "ending";
    }

    @Override
    public void marked(Processor processor, int operation, long argument) {
      Marker marker = Marker.of(operation).orElse(null);
      if (marker == null) {
        return;
      }
      // Marks are the guest's: any order, any argument.
      switch (marker) {
        case REGION_BEGIN -> beginRegion();
        case REGION_END -> {
          if (marked) {
            region.end();
            monitor.setRecording(false);
            sampler.setActive(false);
          }
        }
        case PHASE_BEGIN -> {
          if (argument >= 0 && argument < phases.size()) {
            phases.get((int) argument).begin();
            phase = names.get((int) argument);
          }
        }
        case PHASE_END -> {
          if (argument >= 0 && argument < phases.size()) {
            phases.get((int) argument).end();
            phase = "";
          }
        }
      }
    }

    private void beginRegion() {
      if (!marked) {
        marked = true;
        region.forget();
        phases.forEach(RegionCounts::forget);
        monitor.forget();
        sampler.forget();
      }
      region.begin();
      monitor.setRecording(true);
      sampler.setActive(true);
    }
  }
}
