/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* One packet at one endpoint: everything that the steps of a decision hand to each other. */
#ifndef PALISADE_SCENE_H
#define PALISADE_SCENE_H

#define MAY_STEER 1  /* hand it to the HTTP gate */
#define MAY_ANSWER 2 /* it has been read, or will be, where it can be answered */

/* What every packet touches comes first, together. */
struct scene {
	struct packet packet;
	/* Begins as nothing with every packet: cleared in whole words, which is half as many stores. */
	union {
		struct {
			__u64 socket_cookie;
			__u64 question;   /* the selectors that the DNS name asked for matches, see `asked` */
			__u32 reason;     /* why it is dropped */
			__u32 pass_mark;  /* mark to set on a packet that passes */
			__u32 tracked;    /* an entry of the connection table counts this packet */
			__u32 existing;   /* policy is asked again about a connection that it allowed before */
			__u32 watch_http; /* the packet's connection may speak HTTP, see http.h */
			__u32 gate_mark;  /* the packet's own, see l7_redirect.h */
			__u32 may_steer;  /* MAY_…: what can be done here with a packet that rules on HTTP are about */
			__u32 steer;      /* and is */
			__u32 arrived;    /* it was judged on its way out and has been turned round */
			__u32 may_ask;    /* here the DNS question in a packet can be read, see dns_rules.h */
			__u32 asked;      /* and has been; `question` is empty where it is no plain question */
			__u16 soft;       /* the packet goes forward under soft rules on HTTP, see soft_http.h */
			__u16 refuse;     /* and is refused: how that is answered */
			__u16 wire_port_be; /* destination port of a packet to the HTTP gate, see gate_ports.h; 0: the packet's own */
			__u8 foreseen;      /* what a service's backends ask for before translation, see foresee.h */
			__u8 to_backend;    /* the HTTP gate knows the packet's connection under `backend` */
			__u16 backend_port;
			__u16 reserved;
		};
		__u64 cleared[9];
	};
	struct endpoint endpoint;
	__u32 backend[4];
	__u32 soft_rule; /* where `soft` is set: the rule that let its request pass */
	__u64 now_ns;
	__u32 generation;
	__u32 bank;
	__u32 control_flags;
	__u32 ifindex;
	__u32 direction; /* of this packet, seen from the endpoint */
	__u32 picking_up;
	struct judgement {
		__u8 verdict;
		__u8 flags;
		__u16 l7;
		__u32 rule_id;
		__u32 identity;
		__u32 reason;
		__u32 shadow_rule_id;
		__u8 shadow_verdict;
		__u8 shadow_differs;
		__u16 reserved;
	} judgement;
	struct packet embedded; /* inside an ICMP error */
	struct connection fresh;
	struct flow_event event;
	struct denial_key denial_key;
	struct denial denial;
};

/* Per processor instead of on the stack, which is 512 bytes for all calls together. One row for each kind of program that
   may interrupt another kind. */
#define SCENE_INTERFACE 0
#define SCENE_NETFILTER 1
#define SCENE_EXPORT 2
#define SCENES 3
MAP(scenes, BPF_MAP_TYPE_PERCPU_ARRAY, SCENES, __u32, struct scene);

static __always_inline void scene_set(struct scene *s, const struct endpoint *endpoint, __u32 ifindex, __u32 direction, __u32 length)
{
	__builtin_memset(&s->packet, 0, sizeof(s->packet));
	s->packet.length = length;
	s->endpoint = *endpoint;
	s->ifindex = ifindex;
	s->direction = direction;
#pragma unroll
	for (int i = 0; i < 9; i++)
		s->cleared[i] = 0;
}

static __always_inline struct scene *scene_of(__u32 row, const struct endpoint *endpoint, __u32 ifindex, __u32 direction, __u32 length)
{
	struct scene *s = bpf_map_lookup_elem(&scenes, &row);

	if (s)
		scene_set(s, endpoint, ifindex, direction, length);
	return s;
}

/* Compilers may read the control word twice; the generation must be the one that the lookups after it belong to. */
static __always_inline int scene_open(struct scene *s, __u64 now_ns)
{
	__u32 zero = 0;
	struct control *state = bpf_map_lookup_elem(&control, &zero);
	__u64 generation;

	if (!state)
		return -1;
	generation = *(volatile __u64 *)&state->generation;
	s->generation = (__u32)generation;
	s->bank = generation & 1;
	s->control_flags = state->flags;
	s->now_ns = now_ns;
	s->picking_up = s->now_ns < state->pickup_until_ns;
	return 0;
}

static __always_inline struct endpoint *endpoint_of(__u32 ifindex)
{
	struct endpoint *found;

	if (ifindex < MAX_DIRECT_IFINDEX) {
		found = bpf_map_lookup_elem(&endpoint_by_index, &ifindex);
		return found && found->present ? found : 0;
	}
	return bpf_map_lookup_elem(&endpoint_by_hash, &ifindex);
}

#endif
