/*
 * What tenants know of the monitor that runs their machines for them: it takes the memory of a
 * machine as a file, with all that is in it, and where the machine is to begin. From then on each
 * byte that the tenant sends has the machine run until it writes to DONE_PORT, which a byte answers:
 * 0, or why the machine cannot go on.
 */
#ifndef MONITOR_H
#define MONITOR_H

enum {
	DISK_PORT = 0xd0,		/* OUT has the monitor use the key of the machine's disk */
	DOORBELL = 0x10000000,		/* guest-physical: eight bytes that are written here go to a device */
};

#endif
