/* Requests to the program that makes page-table entries. */
#ifndef ENTRIES_H
#define ENTRIES_H

#include <stdint.h>

/*
 * The entry of a page of the client, which is to be PROT_NONE. With a physical address, it becomes
 * what kernels without the mitigation of L1TF make of such a page: not present, and with that
 * address. With 0, it becomes what it was.
 */
struct entry_request {
	uint64_t page;
	uint64_t physical;
};

#endif
