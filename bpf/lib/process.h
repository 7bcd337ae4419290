/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Which process opened a connection, by socket cookie, which survives the way through a veth pair and is found again at the
 * host side. TCP: noted when connect(2) moves the socket to SYN_SENT. UDP: when a socket is connected, or sends without being
 * connected. Both are the process's own context.
 */
#ifndef PALISADE_PROCESS_H
#define PALISADE_PROCESS_H

#define SOCKET_SYN_SENT 2 /* TCP_SYN_SENT of <net/tcp_states.h> */

MAP(processes, BPF_MAP_TYPE_LRU_HASH, 65536, __u64, struct process);

struct sock;

static __always_inline void note_process(__u64 cookie, __u32 pid)
{
	struct process p = { .pid = pid, .uid = (__u32)bpf_get_current_uid_gid(), .cgroup_id = bpf_get_current_cgroup_id() };

	bpf_get_current_comm(p.command, sizeof(p.command));
	bpf_map_update_elem(&processes, &cookie, &p, BPF_ANY);
}

/* inet_sock_set_state(const struct sock *sk, int oldstate, int newstate) */
SEC("tp_btf/inet_sock_set_state")
int on_socket_state(__u64 *ctx)
{
	if ((int)ctx[2] == SOCKET_SYN_SENT)
		note_process(bpf_get_socket_cookie((void *)ctx[0]), bpf_get_current_pid_tgid() >> 32);
	return 0;
}

/*
 * At the root of cgroup v2: these only watch, and let everything pass. A socket that sends again costs one look-up; one that
 * another process has taken over is that process's from then on.
 */
static __always_inline int note_datagrams(struct bpf_sock_addr *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct process *known;
	__u64 cookie;

	if (ctx->protocol != IPPROTO_UDP)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	known = bpf_map_lookup_elem(&processes, &cookie);
	if (!known || known->pid != pid)
		note_process(cookie, pid);
	return 1;
}

SEC("cgroup/connect4")
int note_connect4(struct bpf_sock_addr *ctx)
{
	return note_datagrams(ctx);
}

SEC("cgroup/connect6")
int note_connect6(struct bpf_sock_addr *ctx)
{
	return note_datagrams(ctx);
}

SEC("cgroup/sendmsg4")
int note_sendmsg4(struct bpf_sock_addr *ctx)
{
	return note_datagrams(ctx);
}

SEC("cgroup/sendmsg6")
int note_sendmsg6(struct bpf_sock_addr *ctx)
{
	return note_datagrams(ctx);
}

#endif
