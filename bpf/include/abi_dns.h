/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Part of abi.h: what programs tell about DNS. */
#ifndef PALISADE_ABI_DNS_H
#define PALISADE_ABI_DNS_H

#define DNS_EVENT_ANSWER 1
#define DNS_EVENT_REFUSED 2 /* a question that policy dropped; its packets are told by the denial's own events */
#define DNS_TRANSLATED 0x01
#define DNS_OVER_TCP 0x02
#define DNS_MESSAGE_BYTES 512 /* what is longer (EDNS, RFC 6891) is cut */

/* A record of the DNS ring. Those with a short message end at DNS_EVENT_SHORT bytes. */
#define DNS_EVENT_SHORT 256
struct dns_event {
	__u64 time_ns;
	__u64 latency_ns; /* from the question to the answer, precise clock; 0: not measured */
	__u8 client[16];
	__u8 resolver[16]; /* as the workload addressed it */
	__u8 backend[16];  /* resolver after DNAT, zero where there was none */
	__u16 client_port;
	__u16 resolver_port;
	__u16 backend_port;
	__u16 slot;
	__u16 length; /* of the message as it was sent */
	__u16 kept;   /* bytes of it in `message` */
	__u32 ifindex;
	__u32 peer_identity;
	__u32 rule_id;
	__u32 generation;
	__u8 kind;
	__u8 family;
	__u8 verdict;
	__u8 flags;
	__u8 message[DNS_MESSAGE_BYTES];
};

#endif
