package dev.ringfence.oracle;

import dev.ringfence.machine.BadInputException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Compares the machine's instructions with the host's real processor. The native runner works on a
 * batch of cases while the machine, in this process, works on the same.
 */
public final class InstructionFuzz implements AutoCloseable {
  /** Cases after which a form that fails is given up. */
  private static final int MOST_FAILURES_OF_A_FORM = 20;

  /** Of forms that take milliseconds, one case for so many of others. */
  private static final int TRANSCENDENTAL_SHARE = 25;

  /**
   * What to compare.
   *
   * @param seed of all random choices
   * @param casesPerForm cases of each form and round
   * @param form a name, or a part of names, or the empty string for all
   * @param firstCase number of the first case of each form
   * @param time rounds go on until it has passed; zero for one round
   * @param repetitions how often the machine executes the cases of an instruction, one after the
   *     other; the last outcomes count
   * @param oneFormOf one of so many forms is chosen, by the seed; 1 for all
   */
  public record Options(
      long seed,
      int casesPerForm,
      String form,
      long firstCase,
      Duration time,
      int repetitions,
      int oneFormOf) {
    /** Repetitions after which HotSpot has compiled a translation of an instruction with C2. */
    public static final int STEADY = 1500;

    /** All forms, each case once. */
    public Options(long seed, int casesPerForm, String form, long firstCase, Duration time) {
      this(seed, casesPerForm, form, firstCase, time, 1, 1);
    }
  }

  /**
   * A case whose outcomes differ.
   *
   * @param form name of the form
   * @param number of the case
   * @param differences one line each
   * @param text the case and the real outcome, as {@code kept} files hold it
   */
  public record Failure(
      String form, long number, String code, List<String> differences, String text) {}

  /**
   * What was compared.
   *
   * @param forms that were executed
   * @param cases that were executed
   * @param exceptions cases that ended with one on the real processor
   * @param failures one for each form that differs
   * @param skippedForms number of forms by the feature that the host lacks
   * @param skippedRows rows that user programs cannot run alike everywhere, with the reason
   */
  public record Summary(
      int forms,
      long cases,
      long exceptions,
      List<Failure> failures,
      Map<String, Integer> skippedForms,
      Map<String, String> skippedRows,
      Duration elapsed) {}

  /** Told how far the comparison is. */
  @FunctionalInterface
  public interface Progress {
    void at(int form, int forms, long cases, int failures);
  }

  private final NativeProcessor real;
  private final CaseExecutor machine;
  private final CaseRecord[] results = new CaseRecord[NativeProcessor.SLOTS];
  private long cases;
  private long exceptions;

  InstructionFuzz(NativeProcessor real, CaseExecutor machine) {
    this.real = real;
    this.machine = machine;
    for (int i = 0; i < results.length; i++) {
      results[i] = new CaseRecord();
    }
  }

  /**
   * Starts the native runner and a machine.
   *
   * @param translated whether the machine translates instructions instead of interpreting them
   */
  public static InstructionFuzz start(boolean translated) {
    return new InstructionFuzz(NativeProcessor.start(), new MachineExecutor(translated));
  }

  /** Why this host cannot compare, or the empty string. */
  public static String missing() {
    return NativeProcessor.missing();
  }

  /** One line about the host's processor. */
  public static String hostDescription() {
    return HostFeatures.description();
  }

  /** Where correct processors may differ, one line each. */
  public static List<String> deviations() {
    return Deviations.all().stream().map(rule -> rule.name() + ": " + rule.source()).toList();
  }

  /** Compares. */
  public Summary run(Options options, Progress progress) {
    long start = System.nanoTime();
    Forms all = Forms.all();
    Map<String, Integer> skipped = new TreeMap<>();
    List<Form> forms = new ArrayList<>();
    RandomValues choice = new RandomValues(options.seed());
    for (Form form : all.list()) {
      if (!options.form().isEmpty() && !matches(form.name(), options.form())
          || !choice.oneIn(options.oneFormOf())) {
        continue;
      }
      if (HostFeatures.has(form.row().feature())) {
        forms.add(form);
      } else {
        skipped.merge(form.row().feature(), 1, Integer::sum);
      }
    }
    if (forms.isEmpty() && skipped.isEmpty()) {
      throw new BadInputException(
          "no form has '"
              + options.form()
              + "' in its name; a name is like "
              + all.list().getFirst());
    }
    cases = 0;
    exceptions = 0;
    Map<String, Failure> failures = new TreeMap<>();
    long first = options.firstCase();
    do {
      for (int i = 0; i < forms.size(); i++) {
        progress.at(i, forms.size(), cases, failures.size());
        Form form = forms.get(i);
        if (!failures.containsKey(form.name())) {
          Failure failure = compare(form, options, first);
          if (failure != null) {
            failures.put(form.name(), failure);
          }
        }
        if (!options.time().isZero() && elapsed(start).compareTo(options.time()) > 0) {
          break;
        }
      }
      first += options.casesPerForm();
    } while (elapsed(start).compareTo(options.time()) < 0);
    return new Summary(
        forms.size(),
        cases,
        exceptions,
        List.copyOf(failures.values()),
        skipped,
        all.skipped(),
        elapsed(start));
  }

  private static boolean matches(String name, String wanted) {
    return wanted.contains("/") && !wanted.startsWith("/")
        ? name.equals(wanted) || name.startsWith(wanted)
        : name.contains(wanted);
  }

  private static Duration elapsed(long start) {
    return Duration.ofNanos(System.nanoTime() - start);
  }

  /** Compares cases of one form; returns the first that differs. */
  private @org.jspecify.annotations.Nullable Failure compare(
      Form form, Options options, long first) {
    int count = options.casesPerForm();
    if (Semantics.isTranscendental(form.row())) {
      count = Math.max(1, count / TRANSCENDENTAL_SHARE);
    }
    CaseGenerator generator = new CaseGenerator(form, options.seed());
    Comparison comparison = new Comparison(form);
    Failure failure = null;
    int failed = 0;
    for (long done = 0; done < count; ) {
      int batch = (int) Math.min(NativeProcessor.SLOTS, count - done);
      for (int i = 0; i < batch; i++) {
        generator.generate(first + done + i, real.input(i));
      }
      real.submit(batch);
      for (int i = 0; i < batch; ) {
        i = execute(i, batch, options.repetitions());
      }
      real.await();
      for (int i = 0; i < batch; i++) {
        CaseRecord input = real.input(i);
        CaseRecord wanted = real.output(i);
        Comparison.normalize(input, wanted);
        if (wanted.flags() != CaseRecord.COMPLETED) {
          exceptions++;
        }
        if (!comparison.equal(input, wanted, results[i])) {
          failed++;
          if (failure == null) {
            failure = failure(form, first + done + i, comparison, input, wanted, results[i]);
          }
        }
      }
      cases += batch;
      done += batch;
      if (failed >= MOST_FAILURES_OF_A_FORM) {
        break;
      }
    }
    return failure;
  }

  /**
   * Executes the cases that have the bytes of one, again and again, so that their translation is
   * used again.
   *
   * @return index of the next case
   */
  private int execute(int first, int batch, int repetitions) {
    int end = first + 1;
    while (end < batch && real.input(end).sameCode(real.input(first))) {
      end++;
    }
    for (int repetition = 0; repetition < repetitions; repetition++) {
      for (int i = first; i < end; i++) {
        machine.execute(real.input(i), results[i]);
      }
    }
    return end;
  }

  private static Failure failure(
      Form form,
      long number,
      Comparison comparison,
      CaseRecord input,
      CaseRecord wanted,
      CaseRecord got) {
    return new Failure(
        form.name(),
        number,
        CaseText.describe(input),
        comparison.differences(input, wanted, got),
        CaseText.format(form.name(), input) + CaseText.formatOutcome(wanted));
  }

  @Override
  public void close() {
    real.close();
  }
}
