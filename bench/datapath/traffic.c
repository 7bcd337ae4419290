// SPDX-License-Identifier: Apache-2.0
// Traffic of the datapath benchmark: `server`, or one client run that prints operations per second.
//   traffic server CPU | traffic rr|crr|udp|stream HOST SECONDS CPU
// Each runs on one processor only: CPU counts from 0 and wraps at the number that there are.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { RR = 5000, CRR = 5001, STREAM = 5002, UDP = 5003 };

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int listener(int port, int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, buffer = 8 << 20, fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (void *)&at, sizeof(at)))
		exit(1);
	if (type == SOCK_STREAM)
		listen(fd, 4096);
	return fd;
}

// One-way UDP: data is counted; a datagram that starts with 'q' is answered with the count since the last one.
static void take_datagrams(int fd, unsigned long *count)
{
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	char data[256];
	ssize_t got;

	while ((got = recvfrom(fd, data, sizeof(data), 0, (void *)&from, &size)) > 0) {
		if (data[0] != 'q') {
			++*count;
			continue;
		}
		sendto(fd, count, sizeof(*count), 0, (void *)&from, size);
		*count = 0;
	}
}

static void serve(void)
{
	int rr = listener(RR, SOCK_STREAM), crr = listener(CRR, SOCK_STREAM), stream = listener(STREAM, SOCK_STREAM);
	int udp = listener(UDP, SOCK_DGRAM), queue = epoll_create1(0);
	static char closes[65536], takes[65536], bulk[1 << 18];
	struct epoll_event event = { .events = EPOLLIN }, events[64];
	unsigned long count = 0;
	int listeners[] = { rr, crr, stream, udp }, one = 1;
	char data[256];

	for (int i = 0; i < 4; i++) {
		event.data.fd = listeners[i];
		epoll_ctl(queue, EPOLL_CTL_ADD, listeners[i], &event);
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int ready = epoll_wait(queue, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd, made;
			ssize_t got;

			if (fd == udp) {
				take_datagrams(fd, &count);
			} else if (fd == rr || fd == crr || fd == stream) {
				while ((made = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
					setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
					closes[made] = fd == crr;
					takes[made] = fd == stream;
					event.data.fd = made;
					epoll_ctl(queue, EPOLL_CTL_ADD, made, &event);
				}
			} else if (takes[fd]) {
				if (!read(fd, bulk, sizeof(bulk)))
					close(fd);
			} else {
				got = read(fd, data, sizeof(data));
				if (got > 0 && write(fd, data, got) == got && !closes[fd])
					continue;
				close(fd);
			}
		}
	}
}

static int dial(const char *host, int port, int type)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_sec = 2 };
	int one = 1, fd = socket(AF_INET, type, 0);

	inet_pton(AF_INET, host, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (void *)&to, sizeof(to))) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static double request_response(const char *host, double length)
{
	int fd = dial(host, RR, SOCK_STREAM);
	double start = seconds();
	unsigned long done = 0;
	char data[64] = "x";

	for (; seconds() - start < length; done++) {
		if (write(fd, data, 1) != 1 || read(fd, data, sizeof(data)) < 1)
			exit(1);
	}
	return done / (seconds() - start);
}

static double connect_request_response(const char *host, double length)
{
	double start = seconds();
	unsigned long done = 0;
	char data[64] = "x";

	for (; seconds() - start < length; done++) {
		int fd = dial(host, CRR, SOCK_STREAM);

		if (write(fd, data, 1) != 1 || read(fd, data, sizeof(data)) < 1)
			exit(1);
		while (read(fd, data, sizeof(data)) > 0)
			;
		close(fd);
	}
	return done / (seconds() - start);
}

// Received datagrams per second: senders can be faster than the path. The count is asked for from a port of its own: one answer
// would make the flow a two-way one, which stateful filters pass without looking at their rules.
static double one_way(const char *host, double length)
{
	int fd = dial(host, UDP, SOCK_DGRAM), ask = dial(host, UDP, SOCK_DGRAM);
	struct mmsghdr batch[32] = {};
	unsigned long count = 0;
	char data[18] = "x";
	struct iovec part = { data, sizeof(data) };
	double start, end;

	for (int i = 0; i < 32; i++)
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &part, .msg_iovlen = 1 };
	if (write(ask, "q", 1) != 1 || read(ask, &count, sizeof(count)) < 1)
		exit(1);
	start = seconds();
	while (seconds() - start < length)
		sendmmsg(fd, batch, 32, 0);
	end = seconds();
	usleep(20000);
	for (int attempt = 0; attempt < 5; attempt++) {
		if (write(ask, "q", 1) == 1 && read(ask, &count, sizeof(count)) > 0)
			return count / (end - start);
	}
	exit(1);
}

// Bytes per second that the other end has taken: what is still in the socket at the end does not count.
static double bulk_stream(const char *host, double length)
{
	int fd = dial(host, STREAM, SOCK_STREAM);
	static char data[1 << 16];
	double start = seconds();
	struct tcp_info state = {};
	socklen_t size = sizeof(state);

	while (seconds() - start < length) {
		if (write(fd, data, sizeof(data)) < 0)
			exit(1);
	}
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size))
		exit(1);
	return state.tcpi_bytes_acked / (seconds() - start);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "server")) {
		pin(atoi(argv[2]));
		serve();
	}
	if (argc < 5)
		return 2;
	double length = atof(argv[3]);

	pin(atoi(argv[4]));

	printf("%.2f\n", !strcmp(argv[1], "rr") ? request_response(argv[2], length) :
			 !strcmp(argv[1], "crr") ? connect_request_response(argv[2], length) :
			 !strcmp(argv[1], "udp") ? one_way(argv[2], length) : bulk_stream(argv[2], length));
	return 0;
}
