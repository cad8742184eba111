package dev.ringfence.isolation.transition;

import dev.ringfence.isolation.policy.DomainClass;

/**
 * Who runs in a restricted address space.
 *
 * @param mm address of the {@code struct mm_struct}, or whatever else names an address space
 * @param domainClass what is confined
 */
public record Domain(long mm, DomainClass domainClass) {}
