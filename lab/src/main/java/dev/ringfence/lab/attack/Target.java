package dev.ringfence.lab.attack;

/**
 * Where a secret lies that an attack wants.
 *
 * @param name small letters, digits and hyphens
 * @param title one line
 * @param setup shell commands that root runs before the attack: they put the secret in its place,
 *     and what they print are arguments of the attack
 */
public record Target(String name, String title, String setup) {}
