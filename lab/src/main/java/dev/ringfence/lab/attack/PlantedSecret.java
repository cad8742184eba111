package dev.ringfence.lab.attack;

import java.util.List;

/**
 * A secret that is in a guest.
 *
 * @param copies physical addresses at which memory has it when the attack begins
 */
record PlantedSecret(Secret secret, List<Long> copies) {}
