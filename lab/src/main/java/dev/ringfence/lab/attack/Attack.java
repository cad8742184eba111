package dev.ringfence.lab.attack;

import java.util.List;

/**
 * An attack program and what it is for.
 *
 * @param name small letters, digits and hyphens
 * @param from what the attacker is
 * @param title one line
 * @param description for the reader of a report
 * @param vulnerability the property of a processor that it needs, for people
 * @param program C source in {@code guest/attacks}
 * @param setup shell commands that root runs before there is a secret; empty if there are none
 * @param targets at least one
 * @param bytes of the secret
 * @param budget nanoseconds of virtual time after which it is taken to have given up
 * @param sources papers and documents from which it was written
 */
public record Attack(
    String name,
    From from,
    String title,
    String description,
    String vulnerability,
    String program,
    String setup,
    List<Target> targets,
    int bytes,
    long budget,
    List<String> sources) {
  /** Where an attacker's code runs. */
  public enum From {
    /** A process without privileges. */
    USER,

    /**
     * The kernel of a virtual machine, which a process without privileges has made by /dev/kvm: a
     * tenant.
     */
    GUEST
  }

  public Attack {
    targets = List.copyOf(targets);
    sources = List.copyOf(sources);
  }

  /** Name of the program in the guest. */
  String programName() {
    return program.substring(0, program.length() - ".c".length());
  }

  /** The same attack on one of its targets. */
  public Attack on(Target target) {
    return new Attack(
        name,
        from,
        title,
        description,
        vulnerability,
        program,
        setup,
        List.of(target),
        bytes,
        budget,
        sources);
  }
}
