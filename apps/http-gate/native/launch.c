// SPDX-License-Identifier: Apache-2.0
// Starts the HTTP gate: opens its sockets, gives up every privilege, and becomes the program that was named.
//
//   palisade-gate-launch <user> <group> <program> [argument…]     names or numbers
//
// Four listeners on the loopback addresses, on ports of the kernel's choice, are left open as descriptors 3 to 6:
// IPv4 and IPv6 for connections that the programs steer here ("down"), IPv4 and IPv6 from which the gate makes sockets
// towards servers ("up"). All are IP_TRANSPARENT and carry the mark that the programs ask for; sockets that are accepted
// from them inherit both, so the gate needs no privilege to have more of them. Needs CAP_NET_ADMIN, CAP_SETUID, CAP_SETGID.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_DESCRIPTOR 3
#define BACKLOG 1024
#define MARK_GATE_DOWN 0x00400000 // bpf/include/abi_http.h
#define MARK_GATE_UP 0x00600000
#define LAST_CAPABILITY 63

static void fail(const char *what)
{
	fprintf(stderr, "palisade-gate-launch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listener(bool v6, uint32_t mark)
{
	struct sockaddr_in6 address6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in address4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &one, sizeof(one)))
		fail("making a socket transparent (this needs CAP_NET_ADMIN)");
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		fail("marking a socket (this needs CAP_NET_ADMIN)");
	if (v6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		fail("keeping a socket to IPv6");
	if (bind(fd, v6 ? (void *)&address6 : (void *)&address4, v6 ? sizeof(address6) : sizeof(address4)) || listen(fd, BACKLOG))
		fail("listening on a loopback address");
	return fd;
}

static void place(int fd, int at)
{
	if (fd < 0) { // a host without IPv6: the gate finds no socket there
		close(at);
		return;
	}
	if (dup2(fd, at) < 0)
		fail("placing a descriptor");
}

// Nothing is left in any capability set, and nothing can come back by executing a program.
static void give_up(uid_t uid, gid_t gid)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };

	for (int capability = 0; capability <= LAST_CAPABILITY; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); // fails for numbers that this kernel does not have, or without CAP_SETPCAP
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		fail("changing to the gate's user");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) || syscall(SYS_capset, &header, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("giving up capabilities");
	if (!setuid(0)) {
		errno = EPERM;
		fail("user 0 could be had back");
	}
}

// A name or a number → the number; 0, which is refused, where there is none.
static long user_id(const char *text)
{
	struct passwd *found = getpwnam(text);

	return found ? (long)found->pw_uid : strtol(text, NULL, 10);
}

static long group_id(const char *text)
{
	struct group *found = getgrnam(text);

	return found ? (long)found->gr_gid : strtol(text, NULL, 10);
}

int main(int count, char **arguments)
{
	int sockets[4];
	long uid, gid;

	if (count < 4 || (uid = user_id(arguments[1])) <= 0 || (gid = group_id(arguments[2])) <= 0) {
		fprintf(stderr, "usage: palisade-gate-launch <user> <group> <program> [argument…] (both must exist, and neither may be root)\n");
		return 2;
	}
	for (int i = 0; i < 4; i++) {
		int fd = listener(i & 1, i < 2 ? MARK_GATE_DOWN : MARK_GATE_UP);

		// Out of the way of the places that they are given.
		sockets[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD, FIRST_DESCRIPTOR + 16);
		if (fd >= 0)
			close(fd);
	}
	for (int i = 0; i < 4; i++)
		place(sockets[i], FIRST_DESCRIPTOR + i);
	for (int i = 0; i < 4; i++)
		if (sockets[i] >= 0)
			close(sockets[i]);
	give_up(uid, gid);
	execvp(arguments[3], arguments + 3);
	fail(arguments[3]);
}
