/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* From bytes to what policy and connection tracking need, for IPv4 and IPv6 with extension headers (RFC 8200). */
#ifndef PALISADE_PACKET_H
#define PALISADE_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

/* <linux/icmp.h> needs the C library of the host. RFC 792, RFC 4443. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_SOURCE_QUENCH 4
#define ICMP_REDIRECT 5
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP_TIMESTAMP 13
#define ICMP_TIMESTAMPREPLY 14
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#define DNS_PORT 53
#define PROTOCOL_SCTP 132
#define PROTOCOL_MOBILITY 135
#define MAX_EXTENSION_HEADERS 8

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct packet {
	__u32 source[4];
	__u32 destination[4];
	__u16 source_port_be;
	__u16 destination_port_be;
	__u16 policy_port; /* destination port, or ICMP type; host order */
	__u8 protocol;
	__u8 family; /* 4, 6 */
	__u8 tcp_flags;
	__u8 sense;           /* see struct connection_key4 */
	__u8 related;         /* an ICMP error: the tuple above is the error's own, the embedded one starts at embedded_offset */
	__u8 later_fragment;  /* ports come from the first fragment */
	__u8 first_fragment;
	__u8 embedded;        /* this is the packet inside an ICMP error, perhaps cut after 8 bytes of layer 4 */
	__u16 embedded_offset;
	__u32 fragment_id;
	__u32 length; /* bytes of the whole frame or packet */
	__u32 l4_offset;
	__u32 l4_length;
	__u32 l4_header; /* TCP: bytes of its header */
};

/* Where packet bytes come from: a TC program's context, or the linear part of the kernel's buffer. */
struct reader {
	struct __sk_buff *skb;
	const void *linear;
	__u32 limit; /* bytes that may be read */
};

static __always_inline int read_bytes(const struct reader *from, __u32 offset, void *to, const __u32 size)
{
	/* Headers start early; the verifier wants a bound well below 64 KiB. */
	if (offset > 0x3fff || offset + size > from->limit)
		return -1;
	if (from->skb) {
		void *data = (void *)(long)from->skb->data + offset;

		if (data + size <= (void *)(long)from->skb->data_end) {
			/* Words: without a known alignment the compiler would copy byte by byte. All headers are multiples of four. */
#pragma unroll
			for (__u32 i = 0; i < size / 4; i++)
				((__u32 *)to)[i] = ((const __u32 *)data)[i];
			return 0;
		}
		return bpf_skb_load_bytes(from->skb, offset, to, size);
	}
	return bpf_probe_read_kernel(to, size, from->linear + offset);
}

/* An ICMP request and its answer are one connection; `sense` names the requesting direction. */
static __always_inline int is_icmp_request(__u8 protocol, __u8 type)
{
	return protocol == IPPROTO_ICMP ? type == ICMP_ECHO || type == ICMP_TIMESTAMP : type == ICMPV6_ECHO_REQUEST;
}

static __always_inline int is_icmp_answer(__u8 protocol, __u8 type)
{
	return protocol == IPPROTO_ICMP ? type == ICMP_ECHOREPLY || type == ICMP_TIMESTAMPREPLY : type == ICMPV6_ECHO_REPLY;
}

/* Types that carry the packet they complain about (RFC 792, RFC 4443 §3). */
static __always_inline int is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type >= 1 && type <= 4;
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETERPROB;
}

static __always_inline int parse_icmp(const struct reader *from, struct packet *p, int direction)
{
	struct {
		__u8 type;
		__u8 code;
		__u16 checksum;
		__u16 id;
		__u16 sequence;
	} __attribute__((aligned(4))) header;

	if (p->l4_length < sizeof(header) || read_bytes(from, p->l4_offset, &header, sizeof(header)))
		return -1;
	p->policy_port = header.type;
	p->sense = 1 + direction;
	if (is_icmp_request(p->protocol, header.type) || is_icmp_answer(p->protocol, header.type)) {
		p->source_port_be = p->destination_port_be = header.id;
		if (is_icmp_answer(p->protocol, header.type))
			p->sense = 1 + !direction;
		if (p->protocol == IPPROTO_ICMP && (header.type == ICMP_TIMESTAMP || header.type == ICMP_TIMESTAMPREPLY))
			p->sense += 2; /* identifiers are per kind of request */
		return 0;
	}
	p->source_port_be = p->destination_port_be = bpf_htons(header.type << 8 | header.code);
	if (is_icmp_error(p->protocol, header.type)) {
		p->related = 1;
		p->embedded_offset = p->l4_offset + sizeof(header);
	}
	return 0;
}

/* Reads ports and flags at l4_offset. Packets inside ICMP errors are only sure to hold eight bytes (RFC 792). */
static __always_inline int parse_layer4(const struct reader *from, struct packet *p, int direction)
{
	switch (p->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case PROTOCOL_SCTP: {
		__u16 ports[4] __attribute__((aligned(4)));

		if (p->l4_length < sizeof(ports) || read_bytes(from, p->l4_offset, ports, sizeof(ports)))
			return -1;
		p->source_port_be = ports[0];
		p->destination_port_be = ports[1];
		p->policy_port = bpf_ntohs(ports[1]);
		if (p->embedded)
			return 0;
		if (p->protocol == IPPROTO_UDP) {
			__u16 udp_length = bpf_ntohs(ports[2]);

			/* A first fragment carries the length of the whole datagram; zero stands for a jumbogram (RFC 2675). */
			if (udp_length && (udp_length < 8 || (!p->first_fragment && udp_length > p->l4_length)))
				return -1;
		} else if (p->protocol == IPPROTO_TCP) {
			__u8 offset_flags[8] __attribute__((aligned(4)));

			if (p->l4_length < 20 || read_bytes(from, p->l4_offset + 12, offset_flags, sizeof(offset_flags)))
				return -1;
			if ((offset_flags[0] >> 4) < 5 || (__u32)(offset_flags[0] >> 4) * 4 > p->l4_length)
				return -1;
			p->tcp_flags = offset_flags[1];
			p->l4_header = (offset_flags[0] >> 4) * 4;
		} else if (p->l4_length < 12) {
			return -1;
		}
		return 0;
	}
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return parse_icmp(from, p, direction);
	default:
		return 0; /* judged by protocol number alone */
	}
}

static __always_inline int parse_ipv4(const struct reader *from, struct packet *p, __u32 offset, int direction)
{
	struct iphdr ip;
	__u32 header_length, total, available;
	__u16 fragment;

	if (read_bytes(from, offset, &ip, sizeof(ip)))
		return -1;
	header_length = ip.ihl * 4;
	total = bpf_ntohs(ip.tot_len);
	available = p->length - offset;
	if (ip.version != 4 || header_length < sizeof(ip))
		return -1;
	if (!total)
		total = available; /* BIG TCP: the length does not fit the field */
	if (p->embedded && total > available)
		total = available;
	if (total < header_length || total > available)
		return -1;

	p->family = 4;
	p->source[0] = ip.saddr;
	p->destination[0] = ip.daddr;
	p->protocol = ip.protocol;
	p->l4_offset = offset + header_length;
	p->l4_length = total - header_length;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & 0x3fff) {
		p->fragment_id = ip.id;
		/* It would overwrite the TCP flags that the first fragment was judged by (RFC 3128). */
		if (p->protocol == IPPROTO_TCP && (fragment & 0x1fff) == 1)
			return -1;
		if (fragment & 0x1fff) {
			p->later_fragment = 1;
			return 0;
		}
		p->first_fragment = 1;
	}
	return parse_layer4(from, p, direction);
}

static __always_inline int parse_ipv6(const struct reader *from, struct packet *p, __u32 offset, int direction)
{
	struct ipv6hdr ip;
	__u32 end, at;
	__u8 next;

	if (read_bytes(from, offset, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	end = offset + sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (!ip.payload_len || (p->embedded && end > p->length))
		end = p->length; /* a jumbogram, or cut inside an ICMP error */
	if (end > p->length)
		return -1;
	p->family = 6;
	__builtin_memcpy(p->source, &ip.saddr, 16);
	__builtin_memcpy(p->destination, &ip.daddr, 16);

	next = ip.nexthdr;
	at = offset + sizeof(ip);
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		__u8 header[8] __attribute__((aligned(4)));

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT &&
		    next != IPPROTO_AH && next != PROTOCOL_MOBILITY)
			goto transport;
		if (at + sizeof(header) > end || read_bytes(from, at, header, sizeof(header)))
			return -1;
		if (next == IPPROTO_FRAGMENT) {
			__u16 fragment = (__u16)header[2] << 8 | header[3];

			__builtin_memcpy(&p->fragment_id, header + 4, 4);
			at += 8;
			next = header[0];
			if (fragment & 0xfff8) {
				p->later_fragment = 1;
				goto transport;
			}
			if (fragment & 1)
				p->first_fragment = 1; /* otherwise an atomic fragment (RFC 6946) */
			continue;
		}
		/* Authentication headers count in units of four bytes (RFC 4302 §2.2). */
		at += next == IPPROTO_AH ? ((__u32)header[1] + 2) * 4 : ((__u32)header[1] + 1) * 8;
		next = header[0];
		if (at > end)
			return -1;
	}
	return -1; /* more headers than anything legitimate carries */

transport:
	p->protocol = next;
	p->l4_offset = at;
	p->l4_length = end - at;
	if (p->later_fragment)
		return 0;
	return parse_layer4(from, p, direction);
}

/* Neighbour discovery and multicast listener reports keep the link working and are never judged (RFC 4861, 3810). */
static __always_inline int is_link_upkeep(const struct packet *p)
{
	return p->family == 6 && p->protocol == IPPROTO_ICMPV6 &&
	       ((p->policy_port >= 130 && p->policy_port <= 137) || p->policy_port == 143);
}

/* Data with the SYN (RFC 7413) is nobody's to judge yet. */
static __always_inline int opens_with_data(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && p->l4_length > p->l4_header;
}

#endif
