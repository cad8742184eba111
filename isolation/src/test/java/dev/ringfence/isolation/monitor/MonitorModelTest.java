package dev.ringfence.isolation.monitor;

import static dev.ringfence.isolation.monitor.SmallGuest.FRAME;
import static dev.ringfence.isolation.monitor.SmallGuest.area;
import static dev.ringfence.isolation.monitor.SmallKernel.AREA_TABLE;
import static dev.ringfence.isolation.monitor.SmallKernel.IMAGE;
import static dev.ringfence.isolation.monitor.SmallKernel.MM_A;
import static dev.ringfence.isolation.monitor.SmallKernel.MM_B;
import static dev.ringfence.isolation.monitor.SmallKernel.ROOT_A;
import static dev.ringfence.isolation.monitor.SmallKernel.ROOT_B;
import static dev.ringfence.isolation.monitor.SmallKernel.STACK;
import static dev.ringfence.isolation.monitor.SmallKernel.TABLES;
import static dev.ringfence.isolation.monitor.SmallKernel.TASK_A;
import static dev.ringfence.isolation.monitor.SmallKernel.TASK_B;
import static dev.ringfence.isolation.monitor.SmallKernel.TEXT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.Disposition;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random scripts of the small guest under random policies, several at a time: all counts equal
 * those of {@link MonitorModel}, and the auditor finds nothing.
 */
@Tag("slow")
class MonitorModelTest {
  private static final int SCRIPTS = 60;
  private static final int STEPS = 250;
  private static final int POLICIES = 4;

  /** Pages of memory, and of the areas, that scripts use: few, so that they meet again. */
  private static final int PAGES = 6;

  private static final int AREAS = 3;

  @TempDir private static Path folder;

  private static Path image = Path.of("");

  @BeforeAll
  static void build() throws IOException, InterruptedException {
    image = SmallGuest.build(folder);
  }

  /** One script and its policies. */
  private static final class Script {
    private final Random random;
    private final SmallGuest guest = new SmallGuest(image);
    private final MonitorModel.Guest known = new MonitorModel.Guest();
    private final List<MonitorModel> models = new ArrayList<>();
    private final List<String> texts = new ArrayList<>();
    private final List<String> steps = new ArrayList<>();

    Script(long seed) {
      random = new Random(seed);
      know(TEXT >>> 12, new Provenance(PageKind.TEXT, "", MM_A, false));
      know(TABLES >>> 12, new Provenance(PageKind.CPU_ENTRY_AREA, "", MM_B, false));
      know(STACK >>> 12, new Provenance(PageKind.TASK_STACK, "", MM_A, false));
      know(AREA_TABLE >>> 12, new Provenance(PageKind.PAGE_TABLE, "", 0, false));
      known.frameOf.put(IMAGE + TEXT, TEXT >>> 12);
      known.frameOf.put(IMAGE + TABLES, TABLES >>> 12);
      known.frameOf.put(IMAGE + STACK, STACK >>> 12);
      PageKind[] kinds = {PageKind.SLAB, PageKind.PAGE_CACHE, PageKind.ANONYMOUS};
      for (int i = 0; i < PAGES; i++) {
        long owner = List.of(0L, MM_A, MM_B).get(random.nextInt(3));
        know(FRAME + i, new Provenance(kinds[random.nextInt(kinds.length)], "", owner, false));
      }
    }

    private void know(long frame, Provenance provenance) {
      guest.kernel.set(frame, provenance);
      known.provenance.put(frame, provenance);
    }

    private String one(String... words) {
      return words[random.nextInt(words.length)];
    }

    private Policy policy() {
      Map<PageKind, Disposition> rules = new EnumMap<>(PageKind.class);
      StringBuilder text = new StringBuilder("name: random\ntitle: For a test\n");
      text.append("mapping:\n  default: sensitive\n  rules:\n");
      for (PageKind kind :
          List.of(
              PageKind.TEXT,
              PageKind.CPU_ENTRY_AREA,
              PageKind.TASK_STACK,
              PageKind.PAGE_TABLE,
              PageKind.SLAB,
              PageKind.PAGE_CACHE,
              PageKind.ANONYMOUS,
              PageKind.USER_ALLOCATION,
              PageKind.KERNEL_ALLOCATION,
              PageKind.FREE)) {
        boolean data =
            kind == PageKind.SLAB || kind == PageKind.PAGE_CACHE || kind == PageKind.ANONYMOUS;
        String disposition =
            kind == PageKind.FREE
                ? one("nonsensitive", "sensitive")
                : data
                    ? one("nonsensitive", "local", "ephemeral", "sensitive")
                    : one("nonsensitive", "nonsensitive", "local", "sensitive");
        rules.put(kind, Disposition.valueOf(disposition.toUpperCase(Locale.ROOT)));
        text.append("    - {kind: %s, disposition: %s}\n".formatted(kind.id(), disposition));
      }
      text.append("pcid: true\nflush: {}\nclasses: {userspace: {}}\n");
      text.append("own-user-memory: %s\n".formatted(one("mapped", "unmapped")));
      text.append("fill: %s\n".formatted(one("eager", "on-demand", "explicit")));
      text.append("free-pages: %s\n".formatted(one("sensitive", "keep")));
      text.append("on-kernel-entry: %s\n".formatted(one("stay", "stay", "stay", "exit")));
      text.append("on-interrupt: %s\n".formatted(one("stay", "exit-and-resume")));
      text.append("on-context-switch: %s\n".formatted(one("stay", "exit", "exit-if-mm-changes")));
      Policy policy = Policy.parse(text.toString(), "random.yaml");
      texts.add(text.toString());
      models.add(new MonitorModel(known, rules, policy.behaviour()));
      return policy;
    }

    private void all(Consumer<MonitorModel> step) {
      models.forEach(step);
    }

    private void touch(long page) {
      all(model -> model.touch(page));
    }

    /** A system call that touches its code, and then what the step says. */
    private void systemCall(String what, Runnable step) {
      steps.add(what);
      all(model -> model.ends(true));
      all(MonitorModel::entered);
      touch(IMAGE + TEXT);
      step.run();
      all(MonitorModel::enter);
    }

    /** A page that is mapped: of the map of all memory or of the areas. */
    private long anyPage() {
      long page = area(random.nextInt(AREAS));
      return random.nextBoolean() && known.frameOf.containsKey(page)
          ? page
          : SmallKernel.DIRECT + (FRAME + random.nextInt(PAGES) << 12);
    }

    private void step() {
      switch (random.nextInt(13)) {
        case 0, 1, 2 -> load();
        case 3 -> store();
        case 4, 5 -> map();
        case 6 -> allocate();
        case 7 -> free();
        case 8 -> switchTask();
        case 9 -> switchProcess();
        case 10 -> interruptKernel();
        case 11 -> loadUser();
        default -> interruptUser();
      }
    }

    private void load() {
      long page = anyPage();
      guest.load(page + 8);
      systemCall("load %x".formatted(page), () -> touch(page));
    }

    private void loadUser() {
      guest.load(SmallGuest.USER);
      systemCall("load of the user's memory", () -> all(MonitorModel::touchUser));
    }

    private void store() {
      long page = anyPage();
      guest.store(page + 16, random.nextLong());
      systemCall("store %x".formatted(page), () -> touch(page));
    }

    private void map() {
      int number = random.nextInt(AREAS);
      long page = area(number);
      long frame = FRAME + random.nextInt(PAGES);
      guest.map(number, frame, true);
      systemCall(
          "map %x to %x".formatted(page, frame),
          () -> {
            touch(SmallKernel.DIRECT + AREA_TABLE);
            known.frameOf.put(page, frame);
            all(model -> model.invalidate(page));
          });
    }

    private void allocate() {
      boolean user = random.nextBoolean();
      PageKind kind = user ? PageKind.USER_ALLOCATION : PageKind.KERNEL_ALLOCATION;
      long first = FRAME + random.nextInt(PAGES);
      int pages = random.nextInt(1, 3);
      guest.allocate(first, pages, user);
      systemCall(
          "allocate %x, %d, %s".formatted(first, pages, user),
          () -> changeHands(first, pages, new Provenance(kind, "", 0, user)));
    }

    private void free() {
      long first = FRAME + random.nextInt(PAGES);
      int pages = random.nextInt(1, 3);
      guest.free(first, pages);
      systemCall(
          "free %x, %d".formatted(first, pages),
          () -> changeHands(first, pages, new Provenance(PageKind.FREE, "", 0, false)));
    }

    private void changeHands(long first, int pages, Provenance provenance) {
      all(model -> model.changeHands(first, pages, provenance));
      for (long frame = first; frame < first + pages; frame++) {
        known.provenance.put(frame, provenance);
      }
    }

    private void switchTask() {
      long next = random.nextBoolean() ? TASK_A : TASK_B;
      guest.switchTask(next, false);
      systemCall("task " + next, () -> all(model -> model.switchTask(next)));
    }

    private void switchProcess() {
      boolean first = random.nextBoolean();
      guest.switchAddressSpace(first ? ROOT_A : ROOT_B);
      systemCall(
          "process " + first,
          () -> {
            all(model -> model.switchProcess(first ? MM_A : MM_B));
            touch(IMAGE + TEXT);
          });
    }

    private void handler(long page) {
      touch(IMAGE + TEXT);
      touch(page);
      touch(IMAGE + STACK);
      touch(IMAGE + TABLES);
    }

    private void interruptKernel() {
      long page = anyPage();
      guest.interruptKernel(page);
      systemCall(
          "interrupt in the kernel, %x".formatted(page),
          () -> {
            touch(IMAGE + TABLES);
            touch(IMAGE + STACK);
            List<Long> before = new ArrayList<>();
            all(model -> before.add(model.interrupted()));
            handler(page);
            for (int i = 0; i < models.size(); i++) {
              models.get(i).resumed(before.get(i));
            }
            touch(IMAGE + TEXT);
          });
    }

    private void interruptUser() {
      boolean forbidden = random.nextInt(4) == 0;
      long page = anyPage();
      steps.add("interrupt of the user, %x, %s".formatted(page, forbidden));
      if (forbidden) {
        guest.forbiddenInterrupt();
      } else {
        guest.interruptUser(page);
      }
      all(model -> model.ends(false));
      touch(IMAGE + TABLES);
      touch(IMAGE + STACK);
      all(MonitorModel::entered);
      // The handler of the forbidden one loads nothing.
      handler(forbidden ? IMAGE + STACK : page);
      all(MonitorModel::enter);
    }

    void check(long seed) {
      Policy[] policies = new Policy[POLICIES];
      for (int i = 0; i < POLICIES; i++) {
        policies[i] = policy();
      }
      try (guest) {
        IsolationMonitor monitor = guest.attach(policies);
        Auditor auditor = new Auditor(monitor);
        for (int done = 0; done < STEPS; done++) {
          step();
          guest.run();
          // The system call that hands the guest back to the test.
          all(model -> model.ends(true));
          all(MonitorModel::entered);
          touch(IMAGE + TEXT);
          for (int i = 0; i < POLICIES; i++) {
            int number = i;
            assertEquals(
                models.get(i).counts.toString(),
                monitor.policies().get(i).counts().toString(),
                () ->
                    "seed %d, after %s, under\n%s"
                        .formatted(
                            seed,
                            steps.subList(Math.max(0, steps.size() - 40), steps.size()),
                            texts.get(number)));
            assertEquals(0, monitor.policies().get(i).staleAccesses());
          }
          all(MonitorModel::enter);
        }
        assertTrue(auditor.audits() > STEPS);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void randomScriptsCountAsTheModel(long series) {
    for (int i = 0; i < SCRIPTS; i++) {
      long seed = 1000 * series + i;
      new Script(seed).check(seed);
    }
  }
}
