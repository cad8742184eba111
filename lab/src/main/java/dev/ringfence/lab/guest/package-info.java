/**
 * Guests for a machine, from Debian packages: {@link dev.ringfence.lab.guest.GuestPreparation} is
 * the way in. It fetches packages with apt, takes kernel and modules out of the kernel's package,
 * and lays files of packages and folders into an initramfs together with an init program of ours.
 *
 * <p>Maintainer scripts of packages are not run. Packages, folders and archives may be broken or
 * hostile; what is wrong with them is a {@link dev.ringfence.machine.BadInputException}.
 */
package dev.ringfence.lab.guest;
