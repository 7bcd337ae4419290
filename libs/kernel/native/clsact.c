// SPDX-License-Identifier: Apache-2.0
// Programs on the clsact qdisc, for kernels without TCX (before Linux 6.6). libbpf speaks netlink here.
#include "arguments.h"
#include <bpf/libbpf.h>

// The head of the chain: filters of other owners at later priorities, or later in this one, still run.
#define CLSACT_PRIORITY 1
#define CLSACT_HANDLE 0x70616c69

static bool read_hook(napi_env env, napi_value ifindex, napi_value side, struct bpf_tc_hook *hook)
{
	int64_t index, point;

	if (!read_int(env, ifindex, &index) || !read_int(env, side, &point))
		return false;
	*hook = (struct bpf_tc_hook){ .sz = sizeof(*hook), .ifindex = index, .attach_point = point };
	return true;
}

// clsactAttach(programFd, ifindex, side): makes the qdisc where it is missing; replaces our filter atomically
static napi_value clsact_attach(napi_env env, napi_callback_info info)
{
	napi_value a[3];
	int64_t program;
	struct bpf_tc_hook hook;
	int failed;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &program) || !read_hook(env, a[1], a[2], &hook))
		return NULL;
	libbpf_set_print(NULL);
	failed = bpf_tc_hook_create(&hook);
	if (failed && failed != -EEXIST)
		return raise_errno(env, "RTM_NEWQDISC", failed, "clsact");
	LIBBPF_OPTS(bpf_tc_opts, options, .prog_fd = program, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY, .flags = BPF_TC_F_REPLACE);
	failed = bpf_tc_attach(&hook, &options);
	return failed ? raise_errno(env, "RTM_NEWTFILTER", failed, "clsact") : NULL;
}

// clsactProgram(ifindex, side) → id of our program there, 0 where there is none
static napi_value clsact_program(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	struct bpf_tc_hook hook;

	if (!read_arguments(env, info, 2, a) || !read_hook(env, a[0], a[1], &hook))
		return NULL;
	libbpf_set_print(NULL);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	return make_int(env, bpf_tc_query(&hook, &options) ? 0 : options.prog_id);
}

// clsactDetach(ifindex, side): the qdisc stays, it may be used by others
static napi_value clsact_detach(napi_env env, napi_callback_info info)
{
	napi_value a[2];
	struct bpf_tc_hook hook;
	int failed;

	if (!read_arguments(env, info, 2, a) || !read_hook(env, a[0], a[1], &hook))
		return NULL;
	libbpf_set_print(NULL);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	failed = bpf_tc_detach(&hook, &options);
	return failed && failed != -ENOENT && failed != -EINVAL && failed != -ENODEV ? raise_errno(env, "RTM_DELTFILTER", failed, "clsact") : NULL;
}

void define_clsact(napi_env env, napi_value exports)
{
	define(env, exports, "clsactAttach", clsact_attach);
	define(env, exports, "clsactProgram", clsact_program);
	define(env, exports, "clsactDetach", clsact_detach);
}
