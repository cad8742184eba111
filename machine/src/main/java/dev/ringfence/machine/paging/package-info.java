/**
 * From linear to physical addresses: the translation lookaside buffer, the page walker, and the
 * address-space view through which a layer above the machine can put page tables of its own in
 * place of the guest's.
 */
package dev.ringfence.machine.paging;
