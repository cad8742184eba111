package dev.ringfence.lab.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.List;
import org.junit.jupiter.api.Test;

final class DependencyListingTest {
  private static String closure(String listing, String... roots) {
    return String.join(
        " ", new DependencyListing(listing.lines().toList()).closure(List.of(roots)));
  }

  @Test
  void dependenciesAreFollowed() {
    assertEquals(
        "a b c",
        closure(
            """
            a
              PreDepends: b
            b
              Depends: c
            c
              Depends: a
            d
            """,
            "a"));
  }

  @Test
  void ofAlternativesTheFirstIsTaken() {
    assertEquals(
        "a b",
        closure(
            """
            a
             |Depends: b
              Depends: c
            b
            c
            """,
            "a"));
  }

  @Test
  void anAlternativeThatIsThereAnywayIsEnough() {
    assertEquals(
        "a c",
        closure(
            """
            a
             |Depends: b
              Depends: c
            b
            c
            """,
            "a",
            "c"));
  }

  @Test
  void aVirtualPackageIsProvidedByTheFirstThatDoes() {
    assertEquals(
        "a mawk",
        closure(
            """
            a
              Depends: <awk>
                mawk
                original-awk
            mawk
            original-awk
            """,
            "a"));
  }

  @Test
  void otherRelationsDoNotMatter() {
    assertEquals(
        "a",
        closure(
            """
            a
              Suggests: b
              Recommends: c
            b
            c
            """,
            "a"));
  }

  @Test
  void anUnknownPackageIsNotListed() {
    assertFalse(new DependencyListing(List.of()).has("nothing"));
  }
}
