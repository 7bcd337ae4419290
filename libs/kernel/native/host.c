// SPDX-License-Identifier: Apache-2.0
// What the addon needs of the host besides bpf(2): interfaces, network namespaces, the BPF file system, clocks.
#include "arguments.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

// interfaceIndex(name) → index, 0 where there is no such interface in this network namespace
static napi_value interface_index(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	char name[64];

	if (!read_arguments(env, info, 1, a) || !read_text(env, a[0], name, sizeof(name)))
		return NULL;
	return make_int(env, if_nametoindex(name));
}

// enterNamespace(path) → descriptor of the namespace left behind; leaveNamespace(descriptor) goes back and closes it.
// Affects the calling thread only: callers do their system calls in between, without awaiting.
static napi_value enter_namespace(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	char path[MAX_PATH];
	int before, target;

	if (!read_arguments(env, info, 1, a) || !read_text(env, a[0], path, sizeof(path)))
		return NULL;
	before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	target = open(path, O_RDONLY | O_CLOEXEC);
	if (before < 0 || target < 0 || setns(target, CLONE_NEWNET)) {
		int failed = errno;

		if (before >= 0)
			close(before);
		if (target >= 0)
			close(target);
		return raise_errno(env, "setns", failed, path);
	}
	close(target);
	return make_int(env, before);
}

static napi_value leave_namespace(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	int64_t fd;
	int failed;

	if (!read_arguments(env, info, 1, a) || !read_int(env, a[0], &fd))
		return NULL;
	failed = setns(fd, CLONE_NEWNET) ? errno : 0;
	close(fd);
	return failed ? raise_errno(env, "setns", failed, NULL) : NULL;
}

// mountBpf(path): mounts a BPF file system unless one is there already
static napi_value mount_bpf(napi_env env, napi_callback_info info)
{
	napi_value a[1];
	struct statfs mounted;
	char path[MAX_PATH];

	if (!read_arguments(env, info, 1, a) || !read_text(env, a[0], path, sizeof(path)))
		return NULL;
	if (!statfs(path, &mounted) && mounted.f_type == BPF_FS_MAGIC)
		return NULL;
	if (mkdir(path, 0700) && errno != EEXIST)
		return raise_errno(env, "mkdir", errno, path);
	if (mount("bpffs", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return raise_errno(env, "mount", errno, path);
	return NULL;
}

// netlinkRequest(protocol, message) → errno of the kernel's first answer, or of asking, 0 where it did as asked. One netlink(7)
// request, or a batch of them, of which the last has NLM_F_ACK.
static napi_value netlink_request(napi_env env, napi_callback_info info)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[4096]; // the request again
	} answer;
	napi_value a[2];
	struct bytes message;
	int64_t protocol;
	ssize_t size;
	int fd, failed = 0;

	if (!read_arguments(env, info, 2, a) || !read_int(env, a[0], &protocol) || !read_bytes(env, a[1], &message))
		return NULL;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return make_int(env, errno); // this kernel has no such protocol
	if (sendto(fd, message.data, message.size, 0, (void *)&kernel, sizeof(kernel)) < 0)
		failed = errno;
	else if ((size = recv(fd, &answer, sizeof(answer), 0)) < (ssize_t)(sizeof(answer.header) + sizeof(answer.error.error)))
		failed = size < 0 ? errno : EBADMSG;
	close(fd);
	if (failed)
		return make_int(env, failed);
	return make_int(env, answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EBADMSG);
}

// waitForPrograms(): returns when every program run that was under way has ended (membarrier(2): synchronize_rcu)
static napi_value wait_for_programs(napi_env env, napi_callback_info info)
{
	(void)info;
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return raise_errno(env, "membarrier", errno, NULL);
	return NULL;
}

// processors() → number of possible processors: the stride of per-CPU values
static napi_value processors(napi_env env, napi_callback_info info)
{
	(void)info;
	return make_int(env, libbpf_num_possible_cpus());
}

// monotonicCoarseNs() → BigInt: the clock of every time in the kernel's records
static napi_value monotonic_coarse(napi_env env, napi_callback_info info)
{
	struct timespec now;
	napi_value out;

	(void)info;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	napi_create_bigint_uint64(env, now.tv_sec * 1000000000ULL + now.tv_nsec, &out);
	return out;
}

// probe(kind, number, program) → boolean: 0 map type, 1 program type, 2 helper of a program type
static napi_value probe(napi_env env, napi_callback_info info)
{
	napi_value a[3], out;
	int64_t kind, number, program;
	int found;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &kind) || !read_int(env, a[1], &number) || !read_int(env, a[2], &program))
		return NULL;
	found = kind == 0 ? libbpf_probe_bpf_map_type(number, NULL) :
		kind == 1 ? libbpf_probe_bpf_prog_type(number, NULL) :
			    libbpf_probe_bpf_helper(program, number, NULL);
	napi_get_boolean(env, found > 0, &out);
	return out;
}

// probeProgram(type, attachType, target) → whether the smallest program of this kind loads; `target` names a kernel
// function or tracepoint by BTF, or is empty
static napi_value probe_program(napi_env env, napi_callback_info info)
{
	// r0 = 1; exit
	static const struct bpf_insn smallest[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	napi_value a[3], out;
	int64_t type, attach;
	char target[128];
	int fd;

	if (!read_arguments(env, info, 3, a) || !read_int(env, a[0], &type) || !read_int(env, a[1], &attach) ||
	    !read_text(env, a[2], target, sizeof(target)))
		return NULL;
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach);
	if (target[0])
		options.attach_btf_id = libbpf_find_vmlinux_btf_id(target, attach);
	fd = bpf_prog_load(type, "probe", "GPL", smallest, 2, &options);
	if (fd >= 0)
		close(fd);
	napi_get_boolean(env, fd >= 0, &out);
	return out;
}

void define_host(napi_env env, napi_value exports)
{
	define(env, exports, "interfaceIndex", interface_index);
	define(env, exports, "enterNamespace", enter_namespace);
	define(env, exports, "leaveNamespace", leave_namespace);
	define(env, exports, "mountBpf", mount_bpf);
	define(env, exports, "netlinkRequest", netlink_request);
	define(env, exports, "waitForPrograms", wait_for_programs);
	define(env, exports, "processors", processors);
	define(env, exports, "monotonicCoarseNs", monotonic_coarse);
	define(env, exports, "probe", probe);
	define(env, exports, "probeProgram", probe_program);
}
