/**
 * YAML files from users, read so that every complaint names file and line, says what was expected
 * and what was found, and proposes the nearest valid names.
 */
package dev.ringfence.isolation.input;
