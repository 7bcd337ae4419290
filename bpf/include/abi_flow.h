/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Part of abi.h: what programs tell of connections and denials. */
#ifndef PALISADE_ABI_FLOW_H
#define PALISADE_ABI_FLOW_H

/*
 * Repeated denials of one tuple under one verdict: the first packet is an event, the rest are counted here and told by the
 * export (a plain hash, so nothing is evicted; when it is full every packet is an event again).
 */
struct denial_key {
	__u8 source[16];
	__u8 destination[16];
	__u16 source_port; /* as in struct flow_event */
	__u16 destination_port;
	__u16 slot;
	__u8 family;
	__u8 protocol;
	__u32 rule_id;
	__u32 generation;
	__u8 drop_reason;
	__u8 direction;
	__u8 flags;
	__u8 shadow_verdict;
	__u32 shadow_rule_id;
};

struct denial {
	__u64 last_seen_ns;
	__u64 packets;
	__u64 bytes;
	__u64 told_packets; /* by events; written by the export only */
	__u64 told_bytes;
	__u64 socket_cookie;
	__u32 peer_identity;
	__u32 ifindex;
	__u32 exported_epoch;
	__u8 tcp_flags;
	__u8 reserved;
	__u16 original_port;
	__u8 original_destination[16];
};

/* A record of the ring. Those that need no field after `reserved` end there: FLOW_EVENT_SHORT bytes. */
#define FLOW_EVENT_SHORT 128
struct flow_event {
	__u64 time_ns;
	__u64 first_seen_ns;
	__u64 packets;
	__u64 bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
	__u8 source[16];
	__u8 destination[16];
	__u32 sequence; /* per CPU, without gaps but where it wraps: a gap is a loss */
	__u32 ifindex;
	__u32 peer_identity;
	__u32 rule_id;
	__u32 generation;
	__u32 shadow_rule_id;
	__u32 rtt_us; /* 0: not measured */
	__u16 source_port;
	__u16 destination_port;
	__u16 slot;
	__u16 cpu;
	__u8 kind;
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 direction;
	__u8 verdict;
	__u8 drop_reason;
	__u8 flags;
	__u8 tcp_flags;
	__u8 shadow_verdict;
	__u8 reserved[3];

	__u8 original_destination[16]; /* before DNAT, zero where there was none */
	__u16 original_port;
	__u16 reserved_tail[3];
	__u64 cgroup_id;
	__u32 pid; /* 0: unknown */
	__u32 uid;
	char command[16];
	__u64 reserved_end;
};

#endif
