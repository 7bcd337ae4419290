// SPDX-License-Identifier: Apache-2.0
// Runs a command under a system-call filter, as a service manager would: seccomp-launcher FILTER COMMAND [ARGUMENT…]
// FILTER is a file of struct sock_filter.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static struct sock_filter instructions[4096];
	int fd = argc > 2 ? open(argv[1], O_RDONLY) : -1;
	ssize_t size = fd < 0 ? -1 : read(fd, instructions, sizeof(instructions));
	struct sock_fprog program = { .len = size > 0 ? size / sizeof(instructions[0]) : 0, .filter = instructions };

	if (size <= 0) {
		fprintf(stderr, "usage: seccomp-launcher FILTER COMMAND [ARGUMENT...]\n");
		return 2;
	}
	close(fd);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		fprintf(stderr, "the system-call filter was refused: %s\n", strerror(errno));
		return 2;
	}
	execvp(argv[2], argv + 2);
	fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
	return 127;
}
