/*
 * Runs a program as a user without any privilege:
 *
 *   unprivileged PROGRAM [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <err.h>
#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { NOBODY = 65534 };

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(2, "usage: unprivileged PROGRAM [ARGUMENT...]");
	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)
	    || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err(1, "giving up privileges");
	execvp(argv[1], argv + 1);
	err(127, "%s", argv[1]);
}
