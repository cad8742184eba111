/*
 * Issues one marker instruction, for shell scripts:
 *
 *   ringfence-mark begin | end | phase-begin PHASE | phase-end PHASE
 *
 * PHASE is an index or a name of the workload's list, which is in /etc/ringfence-phases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "marker.h"

static const char phases[] = "/etc/ringfence-phases";

static long phase(const char *text)
{
	char *end, line[128];
	long index = strtol(text, &end, 10);
	FILE *file;

	if (*text && !*end && index >= 0)
		return index;
	file = fopen(phases, "r");
	if (file) {
		for (index = 0; fgets(line, sizeof(line), file); index++) {
			line[strcspn(line, "\n")] = 0;
			if (!strcmp(line, text)) {
				fclose(file);
				return index;
			}
		}
		fclose(file);
	}
	fprintf(stderr, "ringfence-mark: %s: expected an index or a name from %s, found another\n", text, phases);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "begin")) {
		ringfence_mark(RINGFENCE_REGION_BEGIN, 0);
	} else if (argc == 2 && !strcmp(argv[1], "end")) {
		ringfence_mark(RINGFENCE_REGION_END, 0);
	} else if (argc == 3 && !strcmp(argv[1], "phase-begin")) {
		ringfence_mark(RINGFENCE_PHASE_BEGIN, phase(argv[2]));
	} else if (argc == 3 && !strcmp(argv[1], "phase-end")) {
		ringfence_mark(RINGFENCE_PHASE_END, phase(argv[2]));
	} else {
		fprintf(stderr, "usage: ringfence-mark begin | end | phase-begin PHASE | phase-end PHASE\n");
		return 2;
	}
	return 0;
}
