/** What pages of the kernel's address space are used for. */
package dev.ringfence.linux.provenance;
