/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Every layout that programs and user space share. The TypeScript codecs (libs/dataplane/src/abi) are checked against
 * the BTF of the compiled object. All structures have explicit padding: padding bytes are part of hash keys.
 *
 * Addresses are 16 bytes in network order; IPv4 lies in the first four, the rest is zero. Ports and numbers are in
 * host order unless the name ends in _be. Times are nanoseconds of CLOCK_MONOTONIC_COARSE.
 *
 * A change of any layout or map raises PALISADE_ABI: pins of another ABI are never reused, and objects of another ABI never loaded.
 */
#ifndef PALISADE_ABI_H
#define PALISADE_ABI_H

#define PALISADE_ABI 7
/* Read from the object's BTF before it is loaded. */
enum palisade_abi { PALISADE_ABI_VERSION = PALISADE_ABI };

/* Two banks: programs read the one named by the lowest bit of the generation, user space fills the other. */
#define PALISADE_BANKS 2
#define MAX_ENDPOINTS 4096
/* An endpoint's row in a banked array. */
#define BANKED(bank, slot) ((bank) * MAX_ENDPOINTS + (slot))
/* Address maps: live policy's bank 0 and 1, then the shadow policy's. */
#define MAX_ADDRESS_MAPS 4
/* Interfaces with a smaller index are found in an array, the others in a hash. */
#define MAX_DIRECT_IFINDEX 16384

#define DIRECTION_INGRESS 0 /* to the endpoint */
#define DIRECTION_EGRESS 1  /* from the endpoint */

/* EntryVerdict of libs/policy/src/resolution.ts. */
#define VERDICT_DENY 0
#define VERDICT_ALLOW 1
#define VERDICT_AUDIT 2
#define VERDICT_L7 3
#define VERDICT_SOFT 4 /* rules on HTTP that the programs judge themselves, see lib/soft_http.h; not in resolution.ts */

/* Numbers of DROP_REASON in libs/flow. */
#define REASON_NONE 0
#define REASON_POLICY 1         /* default deny: nothing allows it */
#define REASON_POLICY_RULE 2    /* a deny rule */
#define REASON_INVALID 3        /* truncated or malformed */
#define REASON_FRAGMENT 4       /* later fragment whose first one was not seen */
#define REASON_UNSUPPORTED 5    /* neither IP nor ARP, from an isolated endpoint */
#define REASON_TABLE_FULL 6
#define REASON_L7 7
#define REASON_STATE 8          /* a TCP packet that belongs to no connection */
#define REASON_UNPARSED 9       /* soft rules on HTTP: no request that can be judged by itself */

#define EVENT_NEW 1
#define EVENT_DELTA 2
#define EVENT_CLOSED 3
#define EVENT_DROPPED 4
#define EVENT_SHADOW 5
#define EVENT_L7 6
#define EVENT_DNS 7

#define ENTRY_LOG 0x01
#define ENTRY_GATE 0x04 /* verdict L7: the HTTP gate enforces its rules */
#define ENTRY_DNS 0x08  /* verdict L7: dns_rules names the questions that pass */
#define ENTRY_RULE 0x02 /* a rule decided; without it a deny is the default deny */

/* struct connection.state */
#define STATE_NEW 0         /* forward packets only */
#define STATE_ESTABLISHED 1 /* both directions seen */
#define STATE_CLOSING 2     /* one FIN or more */
#define STATE_CLOSED 3      /* RST, or FIN in both directions and acknowledged */

/* struct connection.flags */
#define CONNECTION_FORWARD_FROM_LOW 0x01 /* the forward source is the lower end of the key */
#define CONNECTION_EGRESS 0x02           /* the forward direction leaves the endpoint */
#define CONNECTION_TRANSLATED 0x04       /* egress is decided after DNAT, on backend */
#define CONNECTION_PENDING 0x08          /* translated, and nothing has decided yet */
#define CONNECTION_LOG 0x10
#define CONNECTION_RULE 0x20
#define CONNECTION_STEERED 0x80 /* goes through the HTTP gate, whatever later policies say */
#define CONNECTION_ADOPTED 0x40 /* older than the hooks: which end opened it is a guess */

/* struct control.flags */
#define CONTROL_BYPASS 0x01 /* break-glass: everything passes, nothing is recorded */
#define CONTROL_SHADOW 0x02 /* a shadow policy is loaded */
#define CONTROL_NAMES 0x08 /* some policy names DNS names: answers are learned from */
#define CONTROL_GATE 0x20 /* there is an HTTP gate; without it rules on HTTP drop */
#define CONTROL_HTTP 0x10 /* HTTP/1 on TCP connections is read and reported */
#define CONTROL_AFTER_DNAT 0x04 /* the after-DNAT hooks are attached: egress to services may wait for them */

/* struct endpoint.flags */
#define ENDPOINT_AUDIT 0x01   /* drops are reported and let through */

/* struct flow_event.flags */
#define FLOW_REPLY 0x01
#define FLOW_TRANSLATED 0x02
#define FLOW_SHADOW 0x04
#define FLOW_LOG 0x08

/* skb mark bit from the endpoint hook to the after-DNAT hook of the same network namespace. */
#define MARK_TRANSLATED 0x00800000

/* Idle times after which a connection no longer admits replies (RFC 5382 and 4787 give the lower bounds). */
#define SECONDS 1000000000ULL
#define TIMEOUT_TCP_NEW (60 * SECONDS)
#define TIMEOUT_TCP_ESTABLISHED (21600 * SECONDS)
#define TIMEOUT_TCP_CLOSING (120 * SECONDS)
#define TIMEOUT_TCP_CLOSED (10 * SECONDS)
#define TIMEOUT_UDP_NEW (60 * SECONDS)
#define TIMEOUT_UDP_ESTABLISHED (300 * SECONDS)
#define TIMEOUT_OTHER (60 * SECONDS)

#define MAX_DENIALS 16384
/* A denial without packets for this long leaves: its next packet is an event again. */
#define DENIAL_LIFETIME (30 * SECONDS)

struct control {
	__u64 generation; /* grows by one with every activation; its lowest bit names the bank */
	__u32 flags;
	__u32 export_epoch; /* grows with every export of all connections */
	__u64 pickup_until_ns; /* until then TCP connections that are older than their endpoint's hooks are adopted */
};

struct endpoint {
	__u16 slot;
	__u16 flags;
	__u32 identity;
	__u32 network;
	__u32 present; /* 1: an endpoint; 0: the interface is none of ours */
};

struct connection_key4 {
	__u32 low;
	__u32 high;
	__u16 low_port_be;
	__u16 high_port_be;
	__u16 slot;
	__u8 protocol;
	__u8 sense; /* ICMP: 1 + direction of the request (timestamps: 3 + it), because both ends may use the same identifier */
};

struct connection_key6 {
	__u32 low[4];
	__u32 high[4];
	__u16 low_port_be;
	__u16 high_port_be;
	__u16 slot;
	__u8 protocol;
	__u8 sense;
};

/* What an established packet needs comes first. [0] forward, [1] reply. */
struct connection {
	__u64 last_seen_ns;
	__u64 packets[2];
	__u64 bytes[2];
	__u32 generation; /* low half of the generation under which `verdict` was taken */
	__u8 verdict;
	__u8 state;
	__u8 flags;
	__u8 tcp_flags[2];
	__u8 protocol;
	__u16 policy_port; /* the port that policy judged, ICMP: the type */
	__u8 http; /* HTTP_STATE_… */
	__u8 timed; /* handshake_us holds a start: the packets after the handshake need not look at it */
	__u8 through_gate; /* the HTTP gate brings it to the endpoint, on a port of its own, see lib/gate_ports.h */
	__u8 reserved8;
	__u64 first_seen_ns;

	__u32 rule_id;
	__u32 peer_identity;
	__u8 backend[16]; /* destination after DNAT, zero where there is none */
	__u16 backend_port;
	__u16 l7;
	__u32 shadow_rule_id;
	__u8 shadow_verdict;
	__u8 shadow_differs;
	__u16 reserved;
	__u32 exported_epoch;
	__u64 exported_packets[2]; /* what events have told already; the rest is the next delta */
	__u64 exported_bytes[2];
	__u32 handshake_us; /* when the SYN passed, low half of the precise clock in microseconds, see `timed` */
	__u32 rtt_us;       /* from the SYN to the end of the handshake: once around both ends; 0: not measured */
	__u64 socket_cookie; /* of the endpoint's socket where it opened the connection, see struct process; 0: unknown */
};

/* Who opened a connection, by socket cookie. */
struct process {
	__u32 pid;
	__u32 uid;
	__u64 cgroup_id;
	char command[16];
};

struct address4_key {
	__u32 network;
	__u32 address_be;
};

struct address6_key {
	__u32 network;
	__u32 address_be[4];
};

struct prefix4_key {
	__u32 length; /* 32 + prefix length: the network always counts */
	__u32 network;
	__u32 address_be;
};

struct prefix6_key {
	__u32 length;
	__u32 network;
	__u32 address_be[4];
};

struct address_class {
	__u32 peer_class;
	__u32 identity;
};

/* Direction is the highest bit of `scope`, the port's prefix length the rest. */
struct policy_key {
	__u32 peer_class;
	__u16 port;
	__u8 protocol;
	__u8 scope;
};
#define POLICY_SCOPE(direction, length) (((direction) << 7) | (length))

struct policy_entry {
	__u32 rule_id;
	__u8 verdict;
	__u8 flags;
	__u16 l7;
};

/* Prefix lengths an endpoint uses, longest first. No length and no entry: the direction is not restricted. */
struct policy_shape {
	__u8 length_count[2];
	__u8 isolated[2]; /* the direction has entries at all */
	__u8 lengths[2][18];
};

/* Longest prefix decides: address, then protocol, then port; shorter keys stand for all ports or a whole range. */
/*
 * What is known of a service's backends: one of each kind, which is a peer class and a port. Which of all backends a connection gets
 * is for the translation to say, and the verdict is about that one; these tell only what has to be done before.
 */
#define SERVICE_KINDS 4
struct service {
	__u8 kinds; /* in use; 0: nothing is known */
	__u8 more;  /* there are other kinds than these */
	__u16 reserved;
	__u16 port[SERVICE_KINDS];
	__u8 address[SERVICE_KINDS * 16]; /* as packets have them: IPv4 in the first four bytes */
};

struct service_key {
	__u32 length;
	__u32 network;
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 protocol;
	__u8 reserved;
	__u16 port_be;
};

struct fragment_key {
	__u32 source[4];
	__u32 destination[4];
	__u32 id;
	__u16 slot;
	__u8 protocol;
	__u8 direction;
};

struct fragment {
	__u16 source_port_be;
	__u16 destination_port_be;
	__u16 policy_port;
	__u8 sense;
	__u8 protocol;
	__u64 seen_ns;
};

struct endpoint_counters {
	__u64 forwarded_packets;
	__u64 forwarded_bytes;
	__u64 dropped_packets;
	__u64 dropped_bytes;
	__u64 audited_packets;
	__u64 untracked_packets; /* forwarded without an entry that counts them */
	__u64 told_packets;      /* forwarded ones that events have told: forwarded - untracked - told is under way or lost */
	__u64 told_drops;        /* dropped ones that events have told */
};

struct loss_counters {
	__u64 ring_full;           /* events that found no room */
	__u64 connections_created;
	__u64 connections_deleted; /* by programs */
	__u64 table_full;          /* connections that found no entry */
	__u64 rejudged;            /* packets that met a newer generation */
	__u64 events;              /* events written */
	__u64 iterated;            /* entries that exports have looked at */
	__u64 denials_full;        /* denied packets that found no entry: each is an event of its own */
};

/* Addresses of both families in one key: IPv4 as ::ffff:a.b.c.d. */
struct mapped_address {
	__u32 network;
	__u32 address_be[4];
};

/* A selector of DNS names by the text of its fixed part, never by a hash: names that share one can be made in a minute. */
#define NAME_EXACT 0      /* the whole name */
#define NAME_ONE_LABEL 1  /* one label before the fixed part: *.example.com */
#define NAME_SOME_LABELS 2 /* one or more: **.example.com */
#define NAME_ANY 3        /* every name; no text */
#define NAME_BYTES 256    /* a name has at most 253 (RFC 1035 §2.3.4) */
struct name_key {
	__u32 kind;
	__u8 reversed[NAME_BYTES]; /* lower case, last byte first, zero-padded: so a suffix is a beginning */
};

/* A DNS question on its way to a configured resolver. */
struct dns_query_key {
	struct mapped_address client;
	struct mapped_address resolver;
	__u16 client_port_be;
	__u16 id_be;
	__u16 slot;
	__u16 type_be;
	__u8 reversed[NAME_BYTES]; /* as in name_key */
};

struct dns_query {
	__u64 selectors; /* one bit for each selector that the name matches */
	__u64 asked_ns;
};

struct learned_address {
	__u64 selectors;
	__u64 expires_ns;
};

/* User space's memory of which bit stands for which selector; bits are stable while anything names them. */
struct name_selector {
	__u8 text[272]; /* `name:` or `pattern:` and the value, zero-padded */
};
#define MAX_NAME_SELECTORS 64

/* → class. With base_class ALL_CLASSES and no selectors: the bits that this bank's policy knows. */
#define ALL_CLASSES 0xffffffff
struct name_class_key {
	__u32 bank; /* row of the address maps: live 0 and 1, shadow 2 and 3 */
	__u32 base_class;
	__u64 selectors;
};

/* What a bank holds; written by user space before the bank is activated, read back by the next agent. */
struct bank_state {
	__u64 generation;
	__u64 policy_revision;
	__u64 identity_revision;
	__u8 content_digest[80]; /* text, zero-padded */
	__u8 bundle_generation[48];
	__u8 address_digest[4][32]; /* exact4, exact6, prefix4, prefix6 */
	__u8 shadow_address_digest[4][32];
	__u8 program_digest[32];
	__u8 names_digest[32];
	__u8 soft_digest[32];
};

struct endpoint_state {
	__u8 key[160]; /* text, zero-padded; empty: the slot is free */
	__u8 policy_digest[32];
	__u8 shadow_digest[32];
	__u32 ifindex;
	__u32 identity;
	__u8 attach[24]; /* interface name, zero-padded */
};

#include "abi_flow.h"
#include "abi_http.h"
#include "abi_dns.h"

#endif
