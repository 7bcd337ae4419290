/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The few kernel structures that are read, with the fields that are read; CO-RE finds the real offsets at load. */
#ifndef PALISADE_KERNEL_TYPES_H
#define PALISADE_KERNEL_TYPES_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	const char *name;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct task_struct {
	int pid;
	int tgid;
	struct mm_struct *mm;
	struct css_set *cgroups;
};

struct linux_binprm {
	const char *filename;
};

struct net_device {
	int ifindex;
};

struct nf_hook_state {
	__u8 hook;
	__u8 pf;
	struct net_device *in;
};

struct sk_buff {
	unsigned int len;
	unsigned int data_len;
	__u32 mark;
	__u16 network_header;
	unsigned char *head;
	unsigned char *data;
	unsigned long _nfct;
};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

union nf_inet_addr {
	__u32 all[4];
};

struct nf_conntrack_tuple {
	struct {
		union nf_inet_addr u3;
		union {
			__u16 all;
		} u;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
};

#pragma clang attribute pop

#endif
