package dev.ringfence.isolation.policy;

import java.util.regex.Pattern;

/**
 * A pattern of names: {@code *} stands for any characters, {@code ?} for one, all else for itself.
 */
public record Glob(String text) {
  /** Whether it stands for more than one name. */
  public boolean isPattern() {
    return text.indexOf('*') >= 0 || text.indexOf('?') >= 0;
  }

  /** Whether it stands for this name. The work is at most the product of both lengths. */
  public boolean matches(String name) {
    int at = 0;
    int star = -1;
    int resume = 0;
    int i = 0;
    while (i < name.length()) {
      if (at < text.length() && text.charAt(at) == '*') {
        star = at++;
        resume = i;
      } else if (at < text.length()
          && (text.charAt(at) == '?' || text.charAt(at) == name.charAt(i))) {
        at++;
        i++;
      } else if (star >= 0) {
        at = star + 1;
        i = ++resume;
      } else {
        return false;
      }
    }
    while (at < text.length() && text.charAt(at) == '*') {
      at++;
    }
    return at == text.length();
  }

  /** Its text without wildcards, to look for similar names. */
  String literal() {
    return WILDCARDS.matcher(text).replaceAll("");
  }

  private static final Pattern WILDCARDS = Pattern.compile("[*?]+");
}
