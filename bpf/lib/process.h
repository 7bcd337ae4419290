/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Which process opened a connection: noted by socket cookie when connect(2) moves the socket to SYN_SENT, in the process's
 * own context; the cookie survives the way through a veth pair and is found again at the host side. TCP only.
 */
#ifndef PALISADE_PROCESS_H
#define PALISADE_PROCESS_H

#define SOCKET_SYN_SENT 2 /* TCP_SYN_SENT of <net/tcp_states.h> */

MAP(processes, BPF_MAP_TYPE_LRU_HASH, 65536, __u64, struct process);

struct sock;

/* inet_sock_set_state(const struct sock *sk, int oldstate, int newstate) */
SEC("tp_btf/inet_sock_set_state")
int on_socket_state(__u64 *ctx)
{
	struct process p = {};
	__u64 cookie;

	if ((int)ctx[2] != SOCKET_SYN_SENT)
		return 0;
	cookie = bpf_get_socket_cookie((void *)ctx[0]);
	p.pid = bpf_get_current_pid_tgid() >> 32;
	p.uid = (__u32)bpf_get_current_uid_gid();
	p.cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(p.command, sizeof(p.command));
	bpf_map_update_elem(&processes, &cookie, &p, BPF_ANY);
	return 0;
}

#endif
