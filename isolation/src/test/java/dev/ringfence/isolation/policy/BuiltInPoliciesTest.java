package dev.ringfence.isolation.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.Behaviour.Fill;
import dev.ringfence.isolation.policy.Behaviour.OnContextSwitch;
import dev.ringfence.isolation.policy.Behaviour.OnInterrupt;
import dev.ringfence.isolation.policy.Behaviour.OnKernelEntry;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The policies that come with Ringfence say what the published designs say. */
final class BuiltInPoliciesTest {
  private static Provenance kernel(PageKind kind, String name) {
    return new Provenance(kind, name, 0, false);
  }

  private static Provenance user(PageKind kind, String name) {
    return new Provenance(kind, name, 0, true);
  }

  @Test
  void everyBuiltInPolicyLoadsUnderItsName() {
    assertEquals(
        List.of(
            "none",
            "google-2022",
            "google-2025",
            "google-2025-mermap",
            "oracle-kvm",
            "hyperclear",
            "secret-hiding",
            "kpti"),
        Policy.builtIn());
    for (String name : Policy.builtIn()) {
      Policy policy = Policy.load(name);
      assertEquals(name, policy.name());
      assertFalse(policy.title().isEmpty());
      assertFalse(policy.description().isEmpty());
      assertEquals(!name.equals("none"), policy.isolates());
      assertEquals(!name.equals("none"), !policy.sources().isEmpty());
    }
  }

  @Test
  void noneMapsEverythingAndDoesNothing() {
    Policy none = Policy.load("none");
    for (PageKind kind : PageKind.values()) {
      assertEquals(Disposition.NONSENSITIVE, none.disposition(user(kind, "x"), ""));
    }
    assertEquals(FlushOperations.NONE, none.flushes());
    assertEquals(TaintRules.NONE, none.taints(DomainClass.USERSPACE));
  }

  /** Page cache is user data by its allocation flags; a file system's metadata in it is not. */
  @Test
  void google2025KeepsUserDataAwayAndMapsTheRest() {
    CompiledMapping mapping = Policy.load("google-2025").compile();
    EnumSet<PageKind> sensitive =
        EnumSet.of(
            PageKind.ANONYMOUS,
            PageKind.SHARED_MEMORY,
            PageKind.GUEST_MEMORY,
            PageKind.USER_ALLOCATION,
            PageKind.FREE);
    for (PageKind kind : PageKind.values()) {
      assertEquals(
          sensitive.contains(kind) ? Disposition.SENSITIVE : Disposition.NONSENSITIVE,
          mapping.disposition(kernel(kind, "whatever"), ""),
          kind.id());
      // Flags of an allocation do not decide about vmalloc areas and slab.
      boolean mapped = kind == PageKind.VMALLOC || kind == PageKind.SLAB;
      assertEquals(
          mapped ? Disposition.NONSENSITIVE : Disposition.SENSITIVE,
          mapping.disposition(user(kind, "whatever"), ""),
          kind.id());
    }
  }

  @Test
  void whatDecidesAboutAPageIsTheLineOfTheFile() {
    Policy policy = Policy.load("google-2025");
    Provenance file = new Provenance(PageKind.PAGE_CACHE, "/file", 0, true);
    assertTrue(
        policy.decides(file, "").matches("line \\d+: user-allocation true\\. Allocated with .*"),
        policy.decides(file, ""));
    Provenance free = new Provenance(PageKind.FREE, "", 0, false);
    assertTrue(policy.decides(free, "").contains(": kind free. Pages"), policy.decides(free, ""));
    Provenance stack = new Provenance(PageKind.TASK_STACK, "", 0, false);
    assertEquals("the default: no rule names such pages", policy.decides(stack, ""));
  }

  @Test
  void mermapDiffersFromGoogle2025InFilesOnly() {
    Policy plain = Policy.load("google-2025");
    Policy mermap = Policy.load("google-2025-mermap");
    for (PageKind kind : PageKind.values()) {
      boolean file = kind == PageKind.PAGE_CACHE || kind == PageKind.SHARED_MEMORY;
      for (Provenance page : List.of(user(kind, "f"), kernel(kind, "f"))) {
        assertEquals(
            file && page.user() ? Disposition.EPHEMERAL : plain.disposition(page, ""),
            mermap.disposition(page, ""),
            page.text());
      }
    }
    assertEquals(plain.behaviour(), mermap.behaviour());
    assertEquals(plain.flushes(), mermap.flushes());
    assertEquals(plain.classes(), mermap.classes());
  }

  @Test
  void google2025FlushesPredictorsAlwaysAndTheL1DataCacheOnL1tfProcessorsOnly() {
    FlushOperations flushes = Policy.load("google-2025").flushes();
    Set<Vulnerability> skylake = Set.of(Vulnerability.MELTDOWN, Vulnerability.L1TF);
    assertEquals(
        EnumSet.of(HardwareOperation.IBPB, HardwareOperation.RSB_FILL),
        FlushOperations.on(Set.of(), flushes.control()));
    assertEquals(
        EnumSet.of(HardwareOperation.L1D_FLUSH), FlushOperations.on(skylake, flushes.data()));
    assertEquals(
        EnumSet.noneOf(HardwareOperation.class), FlushOperations.on(Set.of(), flushes.data()));
    TaintRules userspace = Policy.load("google-2025").taints(DomainClass.USERSPACE);
    assertEquals("guest-control, other-mm-control", Taint.text(userspace.preventControl()));
    assertEquals("kernel-data, other-mm-data", Taint.text(userspace.protectData()));
    assertEquals("user-data, user-control", Taint.text(userspace.set()));
  }

  @Test
  void google2022MapsWhatTheSeriesAnnotates() {
    CompiledMapping mapping = Policy.load("google-2022").compile();
    assertEquals(
        Disposition.NONSENSITIVE, mapping.disposition(kernel(PageKind.SLAB, "task_struct"), ""));
    assertEquals(
        Disposition.SENSITIVE, mapping.disposition(kernel(PageKind.SLAB, "kmalloc-512"), ""));
    assertEquals(Disposition.SENSITIVE, mapping.disposition(kernel(PageKind.SLAB, "filp"), ""));
    assertEquals(Disposition.LOCAL, mapping.disposition(kernel(PageKind.TASK_STACK, ""), ""));
    assertEquals(
        Disposition.NONSENSITIVE, mapping.disposition(kernel(PageKind.PER_CPU, ""), "runqueues"));
    assertEquals(Disposition.SENSITIVE, mapping.disposition(kernel(PageKind.PER_CPU, ""), "irq_x"));
    assertEquals(
        Disposition.NONSENSITIVE,
        mapping.page(kernel(PageKind.DATA, ""), List.of("secret", "tk_core", "other")));
    assertEquals(
        Disposition.SENSITIVE, mapping.page(kernel(PageKind.DATA, ""), List.of("secret", "other")));
    // Patch 45/47: from __start___tracepoint_str to __stop___tracepoint_str.
    assertEquals(
        Disposition.NONSENSITIVE, mapping.disposition(kernel(PageKind.DATA, ""), "___tp_str.41"));
    assertTrue(mapping.dependsOnSymbols(PageKind.DATA));
    assertFalse(mapping.dependsOnSymbols(PageKind.SLAB));
  }

  @Test
  void hyperclearMapsAMachinesOwnMemoryAndFlushesBetweenDomains() {
    Policy hyperclear = Policy.load("hyperclear");
    CompiledMapping mapping = hyperclear.compile();
    assertEquals(Disposition.LOCAL, mapping.disposition(user(PageKind.GUEST_MEMORY, ""), ""));
    assertEquals(Disposition.SENSITIVE, mapping.disposition(user(PageKind.SHARED_MEMORY, "f"), ""));
    assertEquals(
        Disposition.NONSENSITIVE, mapping.disposition(kernel(PageKind.SLAB, "kmalloc-512"), ""));
    assertEquals(OnContextSwitch.STAY, hyperclear.behaviour().onContextSwitch());
    // Not between a machine and the process that runs it.
    TaintRules kvm = hyperclear.taints(DomainClass.KVM);
    assertEquals("kernel-data, other-mm-data", Taint.text(kvm.protectData()));
    assertEquals("none", Taint.text(kvm.preventControl()));
  }

  @Test
  void secretHidingHidesMemoryOfVirtualMachinesAndNothingElse() {
    Policy policy = Policy.load("secret-hiding");
    for (PageKind kind : PageKind.values()) {
      assertEquals(
          kind == PageKind.GUEST_MEMORY ? Disposition.SENSITIVE : Disposition.NONSENSITIVE,
          policy.disposition(user(kind, "x"), ""),
          kind.id());
    }
    assertEquals(FlushOperations.NONE, policy.flushes());
  }

  @Test
  void structuresOfKvmAreMappedByThePoliciesThatWereMadeForIt() {
    for (String name : List.of("google-2022", "oracle-kvm")) {
      CompiledMapping mapping = Policy.load(name).compile();
      for (Provenance page :
          List.of(
              kernel(PageKind.VMALLOC, "kvm_dev_ioctl"),
              kernel(PageKind.SLAB, "kvm_vcpu"),
              kernel(PageKind.MODULE, "kvm_intel"),
              kernel(PageKind.KERNEL_ALLOCATION, "kvm_create_lapic"))) {
        assertEquals(Disposition.NONSENSITIVE, mapping.disposition(page, ""), name + page.text());
      }
    }
    assertEquals(
        Disposition.LOCAL,
        Policy.load("google-2022").disposition(user(PageKind.GUEST_MEMORY, ""), ""));
  }

  @Test
  void kptiMapsEntryCodeOnlyAndLeavesAtEveryEntry() {
    Policy kpti = Policy.load("kpti");
    assertEquals(OnKernelEntry.EXIT, kpti.behaviour().onKernelEntry());
    assertEquals(
        Disposition.NONSENSITIVE,
        kpti.disposition(kernel(PageKind.TEXT, ""), "entry_SYSCALL_64_after_hwframe"));
    assertEquals(
        Disposition.SENSITIVE, kpti.disposition(kernel(PageKind.TEXT, ""), "do_syscall_64"));
    assertEquals(
        Disposition.NONSENSITIVE, kpti.disposition(kernel(PageKind.CPU_ENTRY_AREA, ""), ""));
    assertEquals(Disposition.SENSITIVE, kpti.disposition(kernel(PageKind.SLAB, "filp"), ""));
  }

  @Test
  void oracleIsInterruptedAndResumedAndFillsByExplicitCopies() {
    Behaviour behaviour = Policy.load("oracle-kvm").behaviour();
    assertEquals(OnInterrupt.EXIT_AND_RESUME, behaviour.onInterrupt());
    assertEquals(Fill.EXPLICIT, behaviour.fill());
    assertEquals(OnContextSwitch.EXIT, behaviour.onContextSwitch());
  }
}
