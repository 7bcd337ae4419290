// SPDX-License-Identifier: Apache-2.0
// Network interfaces by rtnetlink(7): what they are, whose peer they are, and when they come and go.
#include "arguments.h"
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_SIZE 65536

static int netlink_socket(uint32_t groups)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = groups };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void set_text(napi_env env, napi_value object, const char *name, const struct rtattr *attribute)
{
	napi_value text;
	const char *data = attribute ? RTA_DATA(attribute) : "";

	napi_create_string_utf8(env, data, attribute ? strnlen(data, RTA_PAYLOAD(attribute)) : 0, &text);
	set_value(env, object, name, text);
}

static void find_attributes(struct rtattr *at, int length, const struct rtattr **found, unsigned limit)
{
	for (; RTA_OK(at, length); at = RTA_NEXT(at, length)) {
		unsigned type = at->rta_type & NLA_TYPE_MASK;

		if (type < limit)
			found[type] = at;
	}
}

static int number(const struct rtattr *attribute, int otherwise)
{
	int value;

	if (!attribute)
		return otherwise;
	memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

static napi_value describe(napi_env env, const struct nlmsghdr *message)
{
	const struct ifinfomsg *interface = NLMSG_DATA(message);
	const struct rtattr *found[IFLA_LINK_NETNSID + 1] = {}, *info[IFLA_INFO_KIND + 1] = {};
	napi_value out;

	find_attributes(IFLA_RTA(interface), IFLA_PAYLOAD(message), found, IFLA_LINK_NETNSID + 1);
	if (found[IFLA_LINKINFO])
		find_attributes(RTA_DATA(found[IFLA_LINKINFO]), RTA_PAYLOAD(found[IFLA_LINKINFO]), info, IFLA_INFO_KIND + 1);
	napi_create_object(env, &out);
	set_int(env, out, "index", interface->ifi_index);
	set_text(env, out, "name", found[IFLA_IFNAME]);
	set_text(env, out, "kind", info[IFLA_INFO_KIND]);
	set_int(env, out, "peer", number(found[IFLA_LINK], 0));
	set_int(env, out, "peerNamespace", number(found[IFLA_LINK_NETNSID], -1));
	return out;
}

// interfaces() → [{ index, name, kind, peer, peerNamespace }] of this network namespace; peerNamespace -1: this one, or no peer
static napi_value interfaces(napi_env env, napi_callback_info info)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg body;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	static char answer[ANSWER_SIZE];
	int fd = netlink_socket(0);
	uint32_t count = 0;
	napi_value out;

	(void)info;
	if (fd < 0)
		return raise_errno(env, "socket", errno, "netlink");
	napi_create_array(env, &out);
	if (send(fd, &request, sizeof(request), 0) < 0)
		goto failed;
	for (;;) {
		int length = recv(fd, answer, sizeof(answer), 0);

		if (length < 0)
			goto failed;
		for (struct nlmsghdr *at = (void *)answer; NLMSG_OK(at, (unsigned)length); at = NLMSG_NEXT(at, length)) {
			if (at->nlmsg_type == NLMSG_DONE || at->nlmsg_type == NLMSG_ERROR) {
				close(fd);
				return out;
			}
			if (at->nlmsg_type == RTM_NEWLINK)
				napi_set_element(env, out, count++, describe(env, at));
		}
	}
failed:
	raise_errno(env, "RTM_GETLINK", errno, NULL);
	close(fd);
	return NULL;
}

// namespaceOf(pid) → number of that process's network namespace as seen from this one, -1 where it has none here
static napi_value namespace_of(napi_env env, napi_callback_info info)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg body;
		struct rtattr attribute __attribute__((aligned(4)));
		uint32_t pid;
	} request = { .header = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETNSID, .nlmsg_flags = NLM_F_REQUEST },
		      .attribute = { .rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = NETNSA_PID } };
	char answer[1024] __attribute__((aligned(8)));
	struct nlmsghdr *message = (void *)answer;
	const struct rtattr *found[NETNSA_NSID + 1] = {};
	napi_value a[1];
	int64_t pid;
	int fd, length;

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &pid))
		return NULL;
	request.pid = pid;
	fd = netlink_socket(0);
	if (fd < 0)
		return raise_errno(env, "socket", errno, "netlink");
	length = send(fd, &request, sizeof(request), 0) < 0 ? -1 : (int)recv(fd, answer, sizeof(answer), 0);
	close(fd);
	if (length < 0 || !NLMSG_OK(message, (unsigned)length) || message->nlmsg_type != RTM_NEWNSID)
		return make_int(env, -1);
	find_attributes((void *)((char *)NLMSG_DATA(message) + NLMSG_ALIGN(sizeof(struct rtgenmsg))),
			NLMSG_PAYLOAD(message, NLMSG_ALIGN(sizeof(struct rtgenmsg))), found, NETNSA_NSID + 1);
	return make_int(env, number(found[NETNSA_NSID], -1));
}

// A thread that sleeps until the kernel tells of an interface, and calls JavaScript back; news that come together are one call.
struct watch {
	pthread_t thread;
	napi_threadsafe_function call;
	int netlink;
	int stop;
};

static void *watch_run(void *argument)
{
	struct watch *watch = argument;
	struct pollfd waits[2] = { { .fd = watch->netlink, .events = POLLIN }, { .fd = watch->stop, .events = POLLIN } };
	char news[16384];

	while (poll(waits, 2, -1) >= 0 || errno == EINTR) {
		if (waits[1].revents)
			break;
		if (!waits[0].revents)
			continue;
		// Lost news (ENOBUFS) are news: whoever is called looks at everything.
		while (recv(watch->netlink, news, sizeof(news), MSG_DONTWAIT) > 0 || errno == ENOBUFS || errno == EINTR)
			errno = 0;
		napi_call_threadsafe_function(watch->call, NULL, napi_tsfn_nonblocking);
	}
	napi_release_threadsafe_function(watch->call, napi_tsfn_release);
	return NULL;
}

static void watch_call(napi_env env, napi_value function, void *context, void *data)
{
	napi_value receiver;

	(void)context;
	(void)data;
	if (!env || !function)
		return;
	napi_get_undefined(env, &receiver);
	napi_call_function(env, receiver, function, 0, NULL, NULL);
}

// watchInterfaces(callback) → handle; must be called in the network namespace that is watched. Does not keep the process alive.
static napi_value watch_interfaces(napi_env env, napi_callback_info info)
{
	struct watch *watch;
	napi_value a[1], out;

	if (!read_arguments(env, info, 1, a))
		return NULL;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return raise_errno(env, "calloc", ENOMEM, NULL);
	watch->netlink = netlink_socket(RTMGRP_LINK);
	watch->stop = eventfd(0, EFD_CLOEXEC);
	if (watch->netlink < 0 || watch->stop < 0) {
		int failed = errno;

		if (watch->netlink >= 0)
			close(watch->netlink);
		free(watch);
		return raise_errno(env, "socket", failed, "netlink");
	}
	napi_create_threadsafe_function(env, a[0], NULL, make_text(env, "interfaces"), 1, 1, NULL, NULL, NULL, watch_call, &watch->call);
	napi_unref_threadsafe_function(env, watch->call);
	if (pthread_create(&watch->thread, NULL, watch_run, watch)) {
		int failed = errno;

		napi_release_threadsafe_function(watch->call, napi_tsfn_abort);
		close(watch->netlink);
		close(watch->stop);
		free(watch);
		return raise_errno(env, "pthread_create", failed, NULL);
	}
	napi_create_external(env, watch, NULL, NULL, &out);
	return out;
}

// unwatchInterfaces(handle): once
static napi_value unwatch_interfaces(napi_env env, napi_callback_info info)
{
	uint64_t one = 1;
	struct watch *watch;
	napi_value a[1];

	if (!read_arguments(env, info, 1, a) || napi_get_value_external(env, a[0], (void **)&watch) != napi_ok)
		return NULL;
	if (write(watch->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(watch->thread, NULL);
	close(watch->netlink);
	close(watch->stop);
	free(watch);
	return NULL;
}

void define_netlink(napi_env env, napi_value exports)
{
	define(env, exports, "interfaces", interfaces);
	define(env, exports, "namespaceOf", namespace_of);
	define(env, exports, "watchInterfaces", watch_interfaces);
	define(env, exports, "unwatchInterfaces", unwatch_interfaces);
}
