package dev.ringfence.isolation.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Policies that are wrong are refused with file, line, expectation and the nearest names. */
final class PolicyReaderTest {
  private static final String GOOD =
      """
      name: mine
      title: My policy
      mapping:
        default: nonsensitive
        rules:
          - kind: [anonymous, page-cache]
            disposition: sensitive
          - kind: slab
            name: [filp, kmalloc-*]
            disposition: local
      own-user-memory: mapped
      fill: eager
      free-pages: keep
      on-kernel-entry: stay
      on-interrupt: stay
      on-context-switch: exit
      pcid: true
      flush:
        control: [IBPB]
      classes:
        userspace:
          prevent-control: [other-mm-control]
          set: [user-control]
      """;

  private static String complaint(String text) {
    return assertThrows(BadInputException.class, () -> Policy.parse(text, "my.yaml")).getMessage();
  }

  private static String complaintWith(String what, String instead) {
    assertTrue(GOOD.contains(what), what);
    return complaint(GOOD.replace(what, instead));
  }

  @Test
  void aRightOneIsRead() {
    Policy policy = Policy.parse(GOOD, "my.yaml");
    assertEquals("mine", policy.name());
    assertEquals(2, policy.mapping().rules().size());
    assertEquals(8, policy.mapping().rules().get(1).line());
    assertEquals(
        Taint.OTHER_MM_CONTROL.bit(), policy.taints(DomainClass.USERSPACE).preventControl());
    assertEquals(TaintRules.NONE, policy.taints(DomainClass.KVM));
  }

  @Test
  void anUnknownKeyIsNamedWithTheNearestOnes() {
    String message = complaintWith("free-pages: keep", "free-page: keep");
    assertTrue(message.startsWith("my.yaml: line 13: expected a key of a policy (name, "), message);
    assertTrue(message.contains("found free-page; nearest: free-pages"), message);
  }

  @Test
  void anUnknownPageKindIsNamedWithTheNearestOnes() {
    String message = complaintWith("page-cache", "pagecache");
    assertTrue(message.startsWith("my.yaml: line 6: expected one of text, rodata, "), message);
    assertTrue(message.contains("found 'pagecache'; nearest: page-cache"), message);
  }

  @Test
  void anUnknownDispositionOperationTaintOrClassIsNamed() {
    assertTrue(
        complaintWith("disposition: local", "disposition: locals")
            .startsWith(
                "my.yaml: line 10: expected one of nonsensitive, local, ephemeral, sensitive,"
                    + " found 'locals'; nearest: local"));
    assertTrue(
        complaintWith("[IBPB]", "[IBRS]")
            .startsWith(
                "my.yaml: line 19: expected one of IBPB, RSB_FILL, L1D_FLUSH, VERW, found"));
    assertTrue(
        complaintWith("other-mm-control", "other-control").contains("nearest: other-mm-control"));
    assertTrue(complaintWith("userspace:", "user:").contains("found user; nearest: userspace"));
  }

  @Test
  void aDataTaintIsNoReasonForAControlFlush() {
    assertEquals(
        "my.yaml: line 22: expected a control taint (user-control, guest-control,"
            + " other-mm-control), found 'kernel-data'",
        complaintWith("[other-mm-control]", "[kernel-data]"));
  }

  @Test
  void ownUserMemoryIsOneWordOrOneForEachClass() {
    Behaviour same = Policy.parse(GOOD, "my.yaml").behaviour();
    assertEquals(Behaviour.OwnUserMemory.MAPPED, same.ownUserMemory(DomainClass.USERSPACE));
    assertEquals(Behaviour.OwnUserMemory.MAPPED, same.ownUserMemory(DomainClass.KVM));
    String each = GOOD.replace("memory: mapped", "memory: {userspace: mapped, kvm: guest-memory}");
    Behaviour apart = Policy.parse(each, "my.yaml").behaviour();
    assertEquals(Behaviour.OwnUserMemory.MAPPED, apart.ownUserMemory(DomainClass.USERSPACE));
    assertEquals(Behaviour.OwnUserMemory.GUEST_MEMORY, apart.ownUserMemory(DomainClass.KVM));
  }

  @Test
  void ownUserMemoryOfAnUnknownClassOrWordOrOfOneClassAloneIsRefused() {
    String key = "memory: mapped";
    assertEquals(
        "my.yaml: line 11: expected one of mapped, unmapped, found 'guest-memory'",
        complaintWith(key, "memory: guest-memory"));
    assertEquals(
        "my.yaml: line 11: expected one of mapped, unmapped, found 'guest-memory'",
        complaintWith(key, "memory: {userspace: guest-memory, kvm: mapped}"));
    assertTrue(
        complaintWith(key, "memory: {userspace: mapped, kvm: guest}")
            .startsWith("my.yaml: line 11: expected one of mapped, unmapped, guest-memory, found"));
    assertTrue(
        complaintWith(key, "memory: {userspace: mapped}")
            .contains("expected classes of domains with a value for kvm, found none"));
    assertTrue(
        complaintWith(key, "memory: {userspace: mapped, guest: mapped}").contains("found guest"));
  }

  @Test
  void aMissingKeyIsNamed() {
    assertTrue(
        complaintWith("fill: eager\n", "")
            .contains("expected a policy with a value for fill, found none"));
  }

  @Test
  void aKeyThatIsGivenTwiceIsRefused() {
    assertEquals(
        "my.yaml: line 13: expected each key once, found fill again",
        complaintWith("fill: eager\n", "fill: eager\nfill: eager\n"));
  }

  @Test
  void aRuleWithoutConditionIsRefused() {
    assertTrue(
        complaintWith("kind: [anonymous, page-cache]\n      disposition", "disposition")
            .startsWith("my.yaml: line 6: expected a rule with a condition"));
  }

  @Test
  void aliasesAndSecondDocumentsAndBrokenYamlAreRefused() {
    assertTrue(
        complaintWith("title: My policy", "title: &a x\ndescription: *a")
            .contains("found an alias"));
    assertTrue(complaint(GOOD + "---\nname: x\n").contains("expected one document"));
    assertTrue(complaint("name: [").startsWith("my.yaml: line "));
    assertEquals("my.yaml: line 1: expected a policy, found an empty file", complaint(""));
    assertTrue(complaint("- a\n").contains("expected a policy, a mapping of keys to values"));
    assertTrue(complaint("[".repeat(10_000)).startsWith("my.yaml: line 1: expected"));
  }

  @Test
  void withoutIsolationNothingElseMayBeStated() {
    assertEquals(
        "my.yaml: line 4: expected no key fill, as isolation is false, found fill",
        complaint("name: x\ntitle: y\nisolation: false\nfill: eager\n"));
  }

  @Test
  void aNameThatIsNoFileAndNoBuiltInPolicyGetsTheNearestOnes() {
    String message =
        assertThrows(BadInputException.class, () -> Policy.load("google-2052")).getMessage();
    assertTrue(message.contains("nearest: google-2025, google-2022, google-2025-mermap"), message);
    assertTrue(
        assertThrows(BadInputException.class, () -> Policy.load("nowhere/p.yaml"))
            .getMessage()
            .contains("found no such file"));
  }

  @Test
  void aFileIsRead(@TempDir Path folder) throws IOException {
    Path file = Files.writeString(folder.resolve("p.yaml"), GOOD);
    assertEquals("mine", Policy.load(file.toString()).name());
    Files.write(file, new byte[] {'n', (byte) 0xff});
    assertTrue(
        assertThrows(BadInputException.class, () -> Policy.load(file.toString()))
            .getMessage()
            .contains("expected UTF-8"));
  }

  @Test
  void namesThatTheKernelLacksAreReportedWithTheNearestOnes() {
    Policy policy =
        Policy.parse(
            GOOD.replace("[filp, kmalloc-*]", "[flip, kmalloc-*, nothing*]")
                .replace("- kind: [anonymous", "- symbol: runqueue\n      kind: [anonymous"),
            "my.yaml");
    KernelNames kernel =
        new KernelNames(
            Set.of("filp", "kmalloc-64", "dentry"), Set.of("runqueues", "jiffies", "tk_core"));
    List<UnknownName> unknown = policy.checkNames(kernel);
    assertEquals(3, unknown.size());
    assertEquals(
        "my.yaml: line 6: expected a symbol of this kernel, found runqueue; nearest: runqueues",
        unknown.get(0).message());
    assertEquals(
        "my.yaml: line 9: expected a slab cache of this kernel, found flip; nearest: filp",
        unknown.get(1).message());
    assertEquals("nothing*", unknown.get(2).name());
    assertEquals(List.of(), policy.checkNames(new KernelNames(Set.of(), Set.of())));
  }

  @Test
  void changedBytesNeverGiveAnythingButAPolicyOrAComplaint() {
    Random random = new Random(99);
    String text = GOOD;
    for (int i = 0; i < 3000; i++) {
      StringBuilder changed = new StringBuilder(text);
      int changes = 1 + random.nextInt(4);
      for (int c = 0; c < changes; c++) {
        int at = random.nextInt(changed.length());
        changed.setCharAt(at, " :-[]{}&*!|>'\"%@`#?,\nax\t0".charAt(random.nextInt(25)));
      }
      try {
        Policy.parse(changed.toString(), "f");
      } catch (BadInputException e) {
        assertTrue(e.getMessage().startsWith("f: line "), e.getMessage());
        assertTrue(e.getMessage().indexOf('\n') < 0, e.getMessage());
      }
    }
  }
}
