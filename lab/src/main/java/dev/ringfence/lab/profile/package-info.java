/** Profiles with the names of the guest's functions, for people and as JSON. */
package dev.ringfence.lab.profile;
