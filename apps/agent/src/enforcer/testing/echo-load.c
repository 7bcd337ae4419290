// SPDX-License-Identifier: Apache-2.0
// Load that notices every packet that is lost, and every one that should have been: `server`, or a client that runs until its
// standard input ends and then prints what it counted, as JSON.
//   echo-load server ALLOWED DENIED | echo-load client HOST ALLOWED DENIED
// UDP on both ports, TCP on the allowed one. The client waits for each answer before it asks again: nothing is lost for want
// of room, and a segment that was sent twice was dropped once.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 500
#define EXCHANGES_PER_CONNECTION 32

static int listener(int port, int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (void *)&at, sizeof(at)) || (type == SOCK_STREAM && listen(fd, 128))) {
		perror("bind");
		exit(1);
	}
	return fd;
}

static void serve(int allowed, int denied)
{
	int datagrams[] = { listener(allowed, SOCK_DGRAM), listener(denied, SOCK_DGRAM) }, streams = listener(allowed, SOCK_STREAM);
	int queue = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN }, events[16];

	for (int i = 0; i < 3; i++) {
		event.data.fd = i < 2 ? datagrams[i] : streams;
		epoll_ctl(queue, EPOLL_CTL_ADD, event.data.fd, &event);
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int ready = epoll_wait(queue, events, 16, -1);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;
			struct sockaddr_in from;
			socklen_t size = sizeof(from);
			char data[64];
			ssize_t got;

			if (fd == streams) {
				event.data.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
				if (event.data.fd >= 0)
					epoll_ctl(queue, EPOLL_CTL_ADD, event.data.fd, &event);
			} else if (fd == datagrams[0] || fd == datagrams[1]) {
				while ((got = recvfrom(fd, data, sizeof(data), 0, (void *)&from, &size)) > 0)
					sendto(fd, data, got, 0, (void *)&from, size);
			} else if ((got = read(fd, data, sizeof(data))) <= 0 || write(fd, data, got) != got) {
				close(fd);
			}
		}
	}
}

static int dial(const char *host, int port, int type)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_usec = PATIENCE_MS * 1000 };
	int fd = socket(AF_INET, type, 0);

	inet_pton(AF_INET, host, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* connect() too */
	if (!connect(fd, (void *)&to, sizeof(to)))
		return fd;
	close(fd);
	return -1;
}

static int input_ended(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };
	char data[16];

	return poll(&input, 1, 0) > 0 && read(0, data, sizeof(data)) <= 0;
}

/* 0: the answer to this very question came. */
static int ask(int fd, unsigned long number)
{
	unsigned long answer = 0;

	if (write(fd, &number, sizeof(number)) != sizeof(number))
		return -1;
	while (answer != number)
		if (read(fd, &answer, sizeof(answer)) != sizeof(answer))
			return -1;
	return 0;
}

static unsigned long retransmissions(int fd)
{
	struct tcp_info state = {};
	socklen_t size = sizeof(state);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) ? 0 : state.tcpi_total_retrans;
}

static void load(const char *host, int allowed, int denied)
{
	unsigned long datagrams = 0, lost = 0, refused = 0, leaked = 0, segments = 0, connections = 0, broken = 0, repeated = 0, number = 0;
	int datagram = dial(host, allowed, SOCK_DGRAM), forbidden = dial(host, denied, SOCK_DGRAM), stream = -1;

	while (!(number % 64) ? !input_ended() : 1) {
		unsigned long answer;

		number++;
		refused += write(forbidden, &number, sizeof(number)) == sizeof(number);
		datagrams++;
		lost += ask(datagram, number) != 0;
		if (stream < 0) {
			stream = dial(host, allowed, SOCK_STREAM);
			connections++;
		}
		segments++;
		if (stream < 0 || ask(stream, number)) {
			broken++;
			close(stream);
			stream = -1;
		} else if (!(number % EXCHANGES_PER_CONNECTION)) {
			repeated += retransmissions(stream);
			close(stream);
			stream = -1;
		}
		leaked += recv(forbidden, &answer, sizeof(answer), MSG_DONTWAIT) > 0;
	}
	if (stream >= 0)
		repeated += retransmissions(stream);
	printf("{\"datagrams\":%lu,\"lost\":%lu,\"denied\":%lu,\"leaked\":%lu,\"segments\":%lu,\"connections\":%lu,\"broken\":%lu,\"repeated\":%lu}\n",
	       datagrams, lost, refused, leaked, segments, connections, broken, repeated);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "server"))
		serve(atoi(argv[2]), atoi(argv[3]));
	if (argc != 5 || strcmp(argv[1], "client"))
		return 2;
	load(argv[2], atoi(argv[3]), atoi(argv[4]));
	return 0;
}
