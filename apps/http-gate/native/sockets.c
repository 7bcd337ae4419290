// SPDX-License-Identifier: Apache-2.0
// The one thing that Node cannot do for the gate: a socket with a client's address, made without any privilege.
#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ATTEMPTS 8

static napi_value fail(napi_env env, const char *call)
{
	napi_throw_error(env, call, strerror(errno));
	return NULL;
}

// A connection of this process to its own listener: the accepted end is transparent and marked like the listener.
// Strangers that connect to the listener are dropped.
static int accept_own(int listener)
{
	struct sockaddr_storage address, own, peer;
	socklen_t size = sizeof(address), own_size = sizeof(own), peer_size;
	int client, accepted = -1;

	if (getsockname(listener, (void *)&address, &size))
		return -1;
	client = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client < 0)
		return -1;
	if (connect(client, (void *)&address, size) || getsockname(client, (void *)&own, &own_size)) {
		close(client);
		return -1;
	}
	for (int i = 0; i < ATTEMPTS; i++) {
		memset(&peer, 0, sizeof(peer));
		peer_size = sizeof(peer);
		accepted = accept4(listener, (void *)&peer, &peer_size, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (accepted < 0 || (peer_size == own_size && !memcmp(&peer, &own, own_size)))
			break;
		close(accepted);
		accepted = -1;
		errno = EAGAIN;
	}
	int failed = errno;

	close(client);
	errno = failed;
	return accepted;
}

static bool read_number(napi_env env, napi_value value, int64_t *out)
{
	return napi_get_value_int64(env, value, out) == napi_ok;
}

// transparentSocket(listener, address, port) → descriptor, bound to that address and port, not connected. Disconnecting
// (connect(2) to AF_UNSPEC) makes an accepted socket one that can be bound and connected anew; what it inherited stays.
static napi_value transparent_socket(napi_env env, napi_callback_info info)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	struct sockaddr_in address4 = { .sin_family = AF_INET };
	struct sockaddr_in6 address6 = { .sin6_family = AF_INET6 };
	napi_value a[3], out;
	size_t count = 3, length;
	int64_t listener, port;
	char text[64];
	bool v6;
	int fd, one = 1;

	if (napi_get_cb_info(env, info, &count, a, NULL, NULL) != napi_ok || count < 3 || !read_number(env, a[0], &listener) ||
	    napi_get_value_string_utf8(env, a[1], text, sizeof(text), &length) != napi_ok || !read_number(env, a[2], &port)) {
		napi_throw_type_error(env, NULL, "transparentSocket(listener, address, port)");
		return NULL;
	}
	v6 = strchr(text, ':') != NULL;
	if (inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? (void *)&address6.sin6_addr : (void *)&address4.sin_addr) != 1) {
		errno = EINVAL;
		return fail(env, "inet_pton");
	}
	address4.sin_port = address6.sin6_port = htons(port);
	fd = accept_own(listener);
	if (fd < 0)
		return fail(env, "accept");
	if (connect(fd, &nowhere, sizeof(nowhere)) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, v6 ? (void *)&address6 : (void *)&address4, v6 ? sizeof(address6) : sizeof(address4))) {
		int failed = errno;

		close(fd);
		errno = failed;
		return fail(env, "bind");
	}
	napi_create_int32(env, fd, &out);
	return out;
}

NAPI_MODULE_INIT()
{
	napi_value function;

	napi_create_function(env, "transparentSocket", NAPI_AUTO_LENGTH, transparent_socket, NULL, &function);
	napi_set_named_property(env, exports, "transparentSocket", function);
	return exports;
}
