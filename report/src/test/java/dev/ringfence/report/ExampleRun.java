package dev.ringfence.report;

import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.PolicyResult.CostItem;
import dev.ringfence.lab.result.PolicyResult.Exposure;
import dev.ringfence.lab.result.PolicyResult.MapRegion;
import dev.ringfence.lab.result.PolicyResult.Offsets;
import dev.ringfence.lab.result.PolicyResult.Phase;
import dev.ringfence.lab.result.PolicyResult.StackCount;
import dev.ringfence.lab.result.PolicyResult.TimeBucket;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.run.Manifest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** A made-up result in the shape and size of a real one; equal at every call. */
final class ExampleRun {
  static final long INSTRUCTIONS = 4_812_345_678L;
  private static final Range PER_INSTRUCTION = new Range(0.8, 1.4);
  private static final Range CYCLES = PER_INSTRUCTION.times((double) INSTRUCTIONS);
  private static final long MIB = 1 << 20;

  private static final List<String> SYSTEM_CALLS =
      List.of(
          "pread64",
          "read",
          "write",
          "openat",
          "mmap",
          "munmap",
          "clone",
          "execve",
          "select",
          "sendto",
          "recvfrom",
          "futex",
          "getpid",
          "close");

  /** Innermost frames of paths that touch data: function, callers, kind, data, type, field. */
  private record Path(
      String function, List<String> callers, String kind, String data, String type, String field) {}

  private static final List<Path> PATHS =
      List.of(
          new Path(
              "copy_user_enhanced_fast_string",
              List.of(
                  "copyout",
                  "_copy_to_iter",
                  "copy_page_to_iter",
                  "filemap_read",
                  "ext4_file_read_iter",
                  "vfs_read"),
              "page-cache",
              "page-cache /data/fio.0.0",
              "",
              ""),
          new Path(
              "clear_page_erms",
              List.of(
                  "get_page_from_freelist",
                  "__alloc_pages",
                  "vma_alloc_folio",
                  "do_anonymous_page",
                  "handle_mm_fault",
                  "do_user_addr_fault"),
              "anonymous",
              "anonymous of fio",
              "",
              ""),
          new Path(
              "copy_page",
              List.of("copy_mc_to_kernel", "wp_page_copy", "do_wp_page", "handle_mm_fault"),
              "anonymous",
              "anonymous of sh",
              "",
              ""),
          new Path(
              "__check_heap_object",
              List.of("__check_object_size", "simple_copy_to_iter", "skb_copy_datagram_iter"),
              "slab-kmalloc",
              "slab kmalloc-512",
              "sk_buff",
              "data"),
          new Path(
              "shmem_file_read_iter",
              List.of("vfs_read", "ksys_pread64"),
              "shared-memory",
              "shared-memory /dev/shm/a",
              "inode",
              "i_mapping"),
          new Path(
              "ext4_get_group_desc",
              List.of("ext4_mb_new_blocks", "ext4_ext_map_blocks", "ext4_map_blocks"),
              "buffer",
              "block-device buffer vda1",
              "ext4_group_desc",
              "bg_free_blocks_count_lo"),
          new Path(
              "pipe_read",
              List.of("vfs_read", "ksys_read"),
              "pipe",
              "pipe buffer",
              "pipe_buffer",
              "page"),
          new Path(
              "copy_strings",
              List.of("do_execveat_common", "__x64_sys_execve"),
              "anonymous",
              "anonymous of sh",
              "",
              ""),
          new Path(
              "__memcpy",
              List.of("xas_store", "__filemap_add_folio"),
              "slab-radix",
              "slab radix_tree_node",
              "xa_node",
              "slots"),
          new Path(
              "task_work_run",
              List.of("exit_to_user_mode_prepare"),
              "task-stack",
              "stack of kworker/0:1",
              "task_struct",
              "stack"));

  private ExampleRun() {}

  static RunResult complete() {
    return result("complete", "", policies());
  }

  static RunResult partial() {
    return result("partial", "interrupted by the user after 61 s", policies());
  }

  static RunResult with(List<PolicyResult> policies) {
    return result("complete", "", policies);
  }

  private static RunResult result(String state, String reason, List<PolicyResult> policies) {
    return new RunResult(
        RunResult.FORMAT,
        state,
        reason,
        new RunResult.Workload(
            "fio-read",
            "fio, 4 KiB reads of a file in the page cache and of a tmpfs, one job",
            "fio --name=fio --rw=randread --bs=4k --size=256m --filename=/data/fio.0.0"),
        new RunResult.Kernel(
            "6.1.0-37-cloud-amd64",
            "Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2026-05-22)",
            "console=ttyS0 mitigations=off nokaslr=0 panic=-1",
            List.of()),
        "skylake-server",
        "skylake-server",
        List.of(
            new Metric(
                "guest.instructions",
                "instructions",
                "Instructions that the guest executed in the region of interest.",
                INSTRUCTIONS),
            new Metric(
                "guest.console.sha256",
                "hex",
                "SHA-256 of all bytes that the guest wrote to the first serial port.",
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
            new Metric(
                "guest.memory.sha256",
                "hex",
                "SHA-256 of the guest's memory at the end.",
                "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"),
            new Metric(
                "guest.time",
                "nanoseconds",
                "Virtual time of the region of interest.",
                5_012_345_678L)),
        entries(),
        CYCLES,
        PER_INSTRUCTION,
        "Range of published figures for kernel-heavy loads on Skylake; replaced by the detailed model once it exists.",
        ExampleMachines.flushes(),
        policies,
        ExampleMachines.of(policies),
        ExampleLeaks.matrix(),
        List.of(
            "Cycles are instructions times a stated range, so shares are ranges even where counts are exact.",
            "The kernel's own mitigations were off, so that all policies see one instruction stream."),
        manifest());
  }

  private static List<RunResult.EntryCount> entries() {
    List<RunResult.EntryCount> entries = new ArrayList<>();
    long count = 412_345;
    for (String call : SYSTEM_CALLS) {
      entries.add(new RunResult.EntryCount("system call " + call, count));
      count = count * 3 / 5;
    }
    entries.add(new RunResult.EntryCount("exception page fault", 48_211));
    entries.add(new RunResult.EntryCount("interrupt 236", 5_013));
    entries.sort(Comparator.comparingLong(RunResult.EntryCount::count).reversed());
    return entries;
  }

  private static long allEntries() {
    return entries().stream().mapToLong(RunResult.EntryCount::count).sum();
  }

  private static List<PolicyResult> policies() {
    return List.of(
        none(),
        isolation(
            "google-2022",
            "ASI as posted in 2022: all memory is sensitive unless annotated",
            0.62,
            31,
            true,
            false),
        isolation(
            "google-2025",
            "ASI as posted in 2025: user data is sensitive, all else is not",
            0.38,
            37,
            true,
            false),
        isolation(
            "google-2025-mermap",
            "google-2025, with page-cache pages mapped for the processor around each access",
            0.021,
            41,
            true,
            true),
        isolation(
            "oracle-kvm",
            "Oracle's isolation of KVM, applied to user space: explicit mappings, interrupts leave it",
            0.44,
            43,
            false,
            false),
        kpti());
  }

  private static PolicyResult none() {
    return new PolicyResult(
        "none",
        "No isolation",
        "The kernel maps all memory while user code runs.",
        "in the same run as the others; exact",
        metrics(0, 0, 0, 0, new LinkedHashMap<>()),
        Range.NOTHING,
        Range.NOTHING,
        List.of(),
        List.of(),
        List.of(),
        List.of(),
        exposure(true, 1.0),
        List.of(),
        List.of());
  }

  private static PolicyResult kpti() {
    long switches = 2 * allEntries();
    CostItem item =
        new CostItem(
            "cr3-write",
            "Loads the page-table root at kernel entry or return.",
            switches,
            new Range(190, 206),
            new Range(190, 206).times((double) switches),
            "pti.rst: of the order of a hundred cycles; 190 to 206 on Skylake and Broadwell",
            "R");
    Range cost = item.total();
    return new PolicyResult(
        "kpti",
        "Kernel page-table isolation: user code runs without the kernel's mappings",
        "Each kernel entry and each return writes CR3.",
        "from counts of kernel entries of the same run; exact",
        metrics(0, switches, 0, 0, new LinkedHashMap<>()),
        cost,
        share(cost),
        List.of(item),
        List.of(),
        List.of(),
        List.of(),
        exposure(false, 0),
        List.of(
            new MapRegion("kernel image", "entry-text", "cpu_entry_area", 256 << 10, 256 << 10)),
        phases(cost, 0));
  }

  private static Range share(Range cost) {
    return new Range(cost.low() / CYCLES.low(), cost.high() / CYCLES.low());
  }

  private static PolicyResult isolation(
      String name, String title, double exitRate, int seed, boolean flushes, boolean mermap) {
    SplittableRandom random = new SplittableRandom(seed);
    long exits = (long) (allEntries() * exitRate);
    Map<String, Long> byKind = new LinkedHashMap<>();
    List<CostItem> items = new ArrayList<>();
    items.add(
        item("cr3-write", "Loads a page-table root.", 2 * exits, 170, 206, "EuroSys 2022", "R"));
    if (flushes) {
      byKind.put("ibpb", exits);
      byKind.put("rsb", exits);
      byKind.put("l1d", exits / 3);
      items.add(
          item(
              "ibpb",
              "Indirect branch predictor barrier.",
              exits,
              3800,
              4500,
              "EuroSys 2022",
              "R"));
      items.add(
          item("rsb", "Fills the return stack buffer.", exits, 110, 130, "EuroSys 2022", "R"));
      items.add(
          item(
              "l1d",
              "Flushes the first-level data cache; what must be loaded again is included.",
              exits / 3,
              2000,
              9000,
              "l1tf.rst; bounded by 512 lines from the second level",
              "S"));
    }
    items.add(
        item(
            "page-fault",
            "The fault that begins an exit.",
            exits,
            600,
            1372,
            "WARD, OSDI 2020",
            "S"));
    if (mermap) {
      items.add(
          item("mermap", "Maps a folio for one access.", 3_012_345, 90, 220, "estimate", "R"));
    }
    items.add(
        item("shootdown", "Interrupts other processors.", 12_345, 1500, 4000, "estimate", "R"));
    Range cost = items.stream().map(CostItem::total).reduce(Range.NOTHING, Range::plus);
    List<Cause> causes = causes(random, exits, cost);
    return new PolicyResult(
        name,
        title,
        "Runs user code and most of the kernel on a page table without sensitive memory; touching what is missing leaves it, with flushes.",
        "in one run with the others; the order of transitions is exact, contents of flushed buffers are not modelled",
        metrics(exits, exits + 5_013, 203_456, 12_345, byKind),
        cost,
        share(cost),
        items,
        causes,
        stacks(random, causes),
        timeline(random, exits),
        exposure(false, mermap ? 0.002 : 0),
        map(random),
        phases(cost, exits));
  }

  private static CostItem item(
      String event,
      String meaning,
      long count,
      double low,
      double high,
      String source,
      String mark) {
    Range each = new Range(low, high);
    return new CostItem(event, meaning, count, each, each.times((double) count), source, mark);
  }

  private static List<Metric> metrics(
      long exits, long enters, long mapped, long shootdowns, Map<String, Long> flushes) {
    List<Metric> metrics = new ArrayList<>();
    metrics.add(
        new Metric("exits", "events", "Switches to the unrestricted address space.", exits));
    metrics.add(
        new Metric("enters", "events", "Switches to the restricted address space.", enters));
    metrics.add(
        new Metric(
            "exits.per.entry",
            "exits",
            "Exits for each kernel entry.",
            (double) exits / allEntries()));
    metrics.add(
        new Metric("pages.mapped", "pages", "Pages filled into restricted tables.", mapped));
    metrics.add(
        new Metric("pages.unmapped", "pages", "Pages taken out of restricted tables.", mapped / 4));
    metrics.add(
        new Metric("shootdowns", "events", "Invalidations on other processors.", shootdowns));
    flushes.forEach((kind, count) ->
        metrics.add(new Metric("flushes." + kind, "events", "Flushes of this kind.", count)));
    metrics.add(
        new Metric("table.bytes", "bytes", "Restricted page tables, at most.", mapped * 12));
    return metrics;
  }

  private static List<Cause> causes(SplittableRandom random, long exits, Range cost) {
    int number = 200;
    double[] weights = new double[number];
    double sum = 0;
    for (int i = 0; i < number; i++) {
      weights[i] = Math.pow(i + 1.0, -1.35) * (0.7 + 0.3 * random.nextDouble());
      sum += weights[i];
    }
    java.util.Arrays.sort(weights);
    List<Cause> causes = new ArrayList<>();
    for (int i = 0; i < number; i++) {
      double share = weights[number - 1 - i] / sum;
      long count = Math.max(1, (long) (exits * share));
      Path path = PATHS.get(i < PATHS.size() ? i : random.nextInt(PATHS.size()));
      String call = SYSTEM_CALLS.get(random.nextInt(SYSTEM_CALLS.size()));
      String entry =
          path.kind().equals("anonymous")
              ? "exception page fault"
              : i == 0 ? "system call pread64" : "system call " + call;
      List<String> example = new ArrayList<>();
      example.add(path.function());
      example.addAll(path.callers());
      example.add("__x64_sys_" + call);
      example.add("do_syscall_64");
      example.add("entry_SYSCALL_64_after_hwframe");
      causes.add(
          new Cause(
              i + 1,
              path.function(),
              path.callers().subList(0, Math.min(3, path.callers().size())),
              path.data(),
              path.kind(),
              path.kind().equals("context-switch") ? "" : "line 17: user-allocation true. Made up.",
              path.type(),
              path.field(),
              offsets(path.kind(), i),
              entry,
              path.function().contains("clear") || path.function().contains("copy_page"),
              count,
              cost.times(share),
              share,
              count,
              (path.kind().equals("page-cache") ? 268 : 3 + path.kind().length()) * MIB,
              example,
              "0x%016x".formatted(0xffff888000000000L + (random.nextLong() & 0x3fffffffL))));
    }
    return causes;
  }

  private static Offsets offsets(String kind, int number) {
    if (kind.equals("page-cache")) {
      return new Offsets(4096L * number, 4096L * number + 20_479, 0);
    }
    return kind.startsWith("slab") ? new Offsets(24, 24, 256) : Offsets.NONE;
  }

  private static List<StackCount> stacks(SplittableRandom random, List<Cause> causes) {
    Map<List<String>, Long> counts = new LinkedHashMap<>();
    for (int i = 0; i < 520; i++) {
      Cause cause = causes.get(i % causes.size());
      List<String> frames = new ArrayList<>();
      frames.add(cause.entry());
      List<String> inner = cause.example().reversed();
      frames.addAll(inner);
      if (i >= causes.size()) {
        // Another way to the same data.
        frames.add(frames.size() - 1 - random.nextInt(2), "helper_" + (i % 37));
      }
      frames.add(cause.data());
      counts.merge(frames, Math.max(1, cause.count() / (i < causes.size() ? 2 : 5)), Long::sum);
    }
    return counts.entrySet().stream()
        .map(entry -> new StackCount(entry.getKey(), entry.getValue()))
        .toList();
  }

  private static List<TimeBucket> timeline(SplittableRandom random, long exits) {
    List<TimeBucket> buckets = new ArrayList<>();
    int number = 120;
    long length = 5_012_345_678L / number;
    for (int i = 0; i < number; i++) {
      double shape = (i < 20 ? 0.35 : i < 80 ? 1.3 : 0.8) * (0.85 + 0.3 * random.nextDouble());
      buckets.add(
          new TimeBucket(
              i * length,
              length,
              (long) (exits / (double) number * shape),
              (long) (allEntries() / (double) number * (0.9 + 0.2 * random.nextDouble()) * shape)));
    }
    return buckets;
  }

  private static List<Exposure> exposure(boolean everything, double otherShare) {
    List<Exposure> rows = new ArrayList<>();
    exposure(rows, "text", "Code of the kernel and its modules.", "kernel", false, 18 * MIB);
    exposure(rows, "data", "Static data of the kernel.", "kernel", false, 9 * MIB);
    exposure(rows, "slab", "Objects that the kernel allocated.", "kernel", false, 41 * MIB);
    exposure(rows, "page-table", "Page tables of processes.", "kernel", false, 6 * MIB);
    exposure(rows, "vmemmap", "Descriptors of pages.", "kernel", false, 16 * MIB);
    exposure(rows, "anonymous", "Anonymous memory of processes.", "own process", true, 22 * MIB);
    double other = everything ? 1 : otherShare;
    if (other > 0) {
      exposure(
          rows,
          "anonymous",
          "Anonymous memory of processes.",
          "other processes",
          true,
          (long) (61 * MIB * other));
      exposure(
          rows, "page-cache", "Contents of files.", "kernel", true, (long) (301 * MIB * other));
    }
    return rows;
  }

  private static void exposure(
      List<Exposure> rows,
      String kind,
      String meaning,
      String owner,
      boolean sensitive,
      long bytes) {
    rows.add(new Exposure(kind, meaning, owner, sensitive, bytes, bytes * 0.83));
  }

  private static List<MapRegion> map(SplittableRandom random) {
    List<MapRegion> regions = new ArrayList<>();
    regions.add(new MapRegion("kernel image", "text", "_text", 14 * MIB, 14 * MIB));
    regions.add(new MapRegion("kernel image", "rodata", "__start_rodata", 6 * MIB, 6 * MIB));
    regions.add(new MapRegion("kernel image", "data", "_sdata", 4 * MIB, 4 * MIB));
    regions.add(new MapRegion("kernel image", "bss", "__bss_start", 2 * MIB, 3 * MIB));
    for (String cache :
        List.of(
            "kmalloc-64",
            "kmalloc-512",
            "dentry",
            "ext4_inode_cache",
            "filp",
            "vm_area_struct",
            "radix_tree_node",
            "buffer_head",
            "task_struct",
            "sock_inode_cache",
            "cred_jar")) {
      long size = (1 + random.nextInt(8)) * MIB / 2;
      regions.add(new MapRegion("direct map", "slab", cache, size, size + MIB / 4));
    }
    regions.add(new MapRegion("direct map", "page-table", "", 6 * MIB, 7 * MIB));
    regions.add(new MapRegion("direct map", "per-cpu", "", MIB, MIB));
    regions.add(new MapRegion("vmalloc", "task-stack", "", 3 * MIB, 5 * MIB));
    regions.add(new MapRegion("vmalloc", "module", "virtio_net", MIB / 4, MIB / 4));
    regions.add(new MapRegion("vmalloc", "module", "ext4", MIB, MIB));
    regions.add(new MapRegion("vmemmap", "vmemmap", "", 16 * MIB, 16 * MIB));
    regions.add(new MapRegion("user", "anonymous", "own process", 22 * MIB, 24 * MIB));
    return regions;
  }

  private static List<Phase> phases(Range cost, long exits) {
    List<Phase> phases = new ArrayList<>();
    List<String> names =
        List.of(
            "getpid",
            "read",
            "write",
            "mmap",
            "munmap",
            "page fault",
            "fork",
            "exec",
            "pipe",
            "select",
            "send",
            "receive",
            "context switch");
    for (int i = 0; i < names.size(); i++) {
      double part = (i + 1) / 91.0;
      Range phaseCost = cost.times(part);
      long instructions = INSTRUCTIONS / 13;
      Range cycles = PER_INSTRUCTION.times((double) instructions);
      phases.add(
          new Phase(
              names.get(i),
              instructions,
              allEntries() / 13,
              (long) (exits * part),
              phaseCost,
              new Range(phaseCost.low() / cycles.low(), phaseCost.high() / cycles.low())));
    }
    return phases;
  }

  private static Manifest manifest() {
    return new Manifest(
        1,
        new Manifest.Versions("0.1.0", "25.0.3+9-LTS"),
        new Manifest.Hardware(
            1024 * MIB, 1, "skylake-server", List.of(), 0, "2026-01-01T00:00:00Z", -1),
        new Manifest.Request(
            null,
            null,
            List.of("fio"),
            List.of(),
            List.of(),
            "fio --name=fio",
            "mitigations=off",
            null,
            false),
        new Manifest.Images(
            new Manifest.Image(
                "vmlinuz-6.1.0-37-cloud-amd64",
                8_164_288,
                "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),
            List.of(
                new Manifest.Image(
                    "initramfs.cpio",
                    61_234_176,
                    "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9")),
            "console=ttyS0 mitigations=off"),
        null,
        null,
        List.of(),
        new Manifest.Result(
            "power off",
            0,
            INSTRUCTIONS + 1_234_567_890L,
            6_123_456_789L,
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"));
  }
}
