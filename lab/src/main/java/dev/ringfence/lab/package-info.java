/** Guests for the machine: where a kernel, its packages and its initramfs come from. */
package dev.ringfence.lab;
