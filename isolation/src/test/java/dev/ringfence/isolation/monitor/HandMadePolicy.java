package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.policy.Policy;
import java.util.Map;
import java.util.TreeMap;

/** Policies that stay restricted and flush nothing, with some keys set otherwise. */
final class HandMadePolicy {
  private HandMadePolicy() {}

  /**
   * @param mapping what the key of that name has, without braces
   * @param changes keys, each with its value behind it
   */
  static Policy of(String mapping, String... changes) {
    Map<String, String> keys = new TreeMap<>();
    keys.put("own-user-memory", "mapped");
    keys.put("fill", "eager");
    keys.put("free-pages", "keep");
    keys.put("on-kernel-entry", "stay");
    keys.put("on-interrupt", "stay");
    keys.put("on-context-switch", "stay");
    keys.put("pcid", "true");
    for (int i = 0; i < changes.length; i += 2) {
      keys.put(changes[i], changes[i + 1]);
    }
    StringBuilder text = new StringBuilder("name: hand-made\ntitle: For a test\n");
    text.append("mapping: {").append(mapping).append("}\n");
    keys.forEach((key, value) -> text.append(key).append(": ").append(value).append('\n'));
    text.append("flush: {}\nclasses: {userspace: {}, kvm: {}}\n");
    return Policy.parse(text.toString(), "hand-made.yaml");
  }
}
