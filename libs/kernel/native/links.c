// SPDX-License-Identifier: Apache-2.0
// Links by raw system calls: libbpf 1.1 knows neither TCX nor netfilter links.
#include "arguments.h"
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINK_ATTACH_BEFORE (1U << 3) /* BPF_F_BEFORE: without a relative, the head of the chain */
#define LINK_TYPE_CGROUP 3
#define LINK_TYPE_TCX 11
#define LINK_TYPE_NETFILTER 10

// union bpf_attr's link_create as Linux 6.6 has it.
struct link_create {
	uint32_t program;
	uint32_t target;
	uint32_t attach_type;
	uint32_t flags;
	union {
		struct {
			uint32_t relative;
			uint32_t pad;
			uint64_t expected_revision;
		} tcx;
		struct {
			uint32_t family;
			uint32_t hook;
			int32_t priority;
			uint32_t flags;
		} netfilter;
		uint8_t room[48];
	};
};

struct link_update {
	uint32_t link;
	uint32_t program;
	uint32_t flags;
	uint32_t old_program;
};

// struct bpf_link_info as Linux 6.6 has it, as far as it is read here.
struct link_info {
	uint32_t type;
	uint32_t id;
	uint32_t program;
	uint32_t pad;
	union {
		struct {
			uint32_t ifindex;
			uint32_t attach_type;
		} tcx;
		struct {
			uint64_t cgroup;
			uint32_t attach_type;
		} cgroup;
		uint8_t room[64];
	};
};

static napi_value create(napi_env env, struct link_create *request, const char *detail)
{
	int fd = syscall(SYS_bpf, BPF_LINK_CREATE, request, sizeof(*request));

	return fd < 0 ? raise_errno(env, "BPF_LINK_CREATE", errno, detail) : make_int(env, fd);
}

// linkTcx(programFd, ifindex, attachType) → fd: at the head of the interface's chain
static napi_value link_tcx(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int64_t program, ifindex, attach;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &program) || !read_int(env, a[1], &ifindex) ||
	    !read_int(env, a[2], &attach))
		return NULL;
	struct link_create request = { .program = program, .target = ifindex, .attach_type = attach, .flags = LINK_ATTACH_BEFORE };

	return create(env, &request, "tcx");
}

// linkNetfilter(programFd, attachType, family, hook, priority) → fd: in the network namespace of the caller
static napi_value link_netfilter(napi_env env, napi_callback_info info)
{
	napi_value a[5];
	int64_t program, attach, family, hook, priority;

	if (!read_arguments(env, info, 5, a) || !read_int(env, a[0], &program) || !read_int(env, a[1], &attach) ||
	    !read_int(env, a[2], &family) || !read_int(env, a[3], &hook) || !read_int(env, a[4], &priority))
		return NULL;
	struct link_create request = { .program = program, .attach_type = attach,
				       .netfilter = { .family = family, .hook = hook, .priority = priority } };

	return create(env, &request, "netfilter");
}

// linkTarget(programFd, targetFd, attachType) → fd: cgroups, tracepoints by BTF (target 0), iterators
static napi_value link_target(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int64_t program, target, attach;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &program) || !read_int(env, a[1], &target) ||
	    !read_int(env, a[2], &attach))
		return NULL;
	struct link_create request = { .program = program, .target = target, .attach_type = attach };

	return create(env, &request, "target");
}

// linkUpdate(linkFd, programFd): atomic, packets meet either the old or the new program
static napi_value link_update(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	int64_t link, program;

	if (!read_arguments(env, info, 2, a) || !read_int(env, a[0], &link) || !read_int(env, a[1], &program))
		return NULL;
	struct link_update request = { .link = link, .program = program };

	if (syscall(SYS_bpf, BPF_LINK_UPDATE, &request, sizeof(request)))
		return raise_errno(env, "BPF_LINK_UPDATE", errno, NULL);
	return NULL;
}

// linkInfo(fd) → { id, type, programId, ifindex, cgroupId, attachType }; ifindex, cgroupId 0: the interface or cgroup is gone
static napi_value link_info(napi_env env, napi_callback_info info)
{
	napi_value a[1], out, cgroup;
	int64_t fd;
	struct link_info link = {};
	struct {
		uint32_t fd;
		uint32_t size;
		uint64_t info;
	} request = { .size = sizeof(link), .info = (uintptr_t)&link };

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &fd))
		return NULL;
	request.fd = fd;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &request, sizeof(request)))
		return raise_errno(env, "BPF_OBJ_GET_INFO_BY_FD", errno, "link");
	napi_create_object(env, &out);
	set_int(env, out, "id", link.id);
	set_int(env, out, "type", link.type);
	set_int(env, out, "programId", link.program);
	set_int(env, out, "ifindex", link.type == LINK_TYPE_TCX ? link.tcx.ifindex : 0);
	napi_create_bigint_uint64(env, link.type == LINK_TYPE_CGROUP ? link.cgroup.cgroup : 0, &cgroup);
	set_value(env, out, "cgroupId", cgroup);
	set_int(env, out, "attachType", link.type == LINK_TYPE_TCX ? link.tcx.attach_type : 0);
	return out;
}

// linkDetach(fd): takes effect at once, also while the link is pinned
static napi_value link_detach(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	int64_t fd;
	uint32_t request;

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &fd))
		return NULL;
	request = fd;
	if (syscall(SYS_bpf, BPF_LINK_DETACH, &request, sizeof(request)))
		return raise_errno(env, "BPF_LINK_DETACH", errno, NULL);
	return NULL;
}

void define_links(napi_env env, napi_value exports)
{
	define(env, exports, "linkTcx", link_tcx);
	define(env, exports, "linkNetfilter", link_netfilter);
	define(env, exports, "linkTarget", link_target);
	define(env, exports, "linkUpdate", link_update);
	define(env, exports, "linkInfo", link_info);
	define(env, exports, "linkDetach", link_detach);
}
