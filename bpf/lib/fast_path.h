/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What nearly all packets are: TCP or UDP with plain headers, of a connection that the policy in force allows, with nothing in
 * them that anybody reads. They are decided here on the stack alone; between two packets of a workload the kernel
 * runs much else, and what counts is how few cache lines of program and data one of them needs. Everything else is refused
 * without having changed anything, and judged in full (judge.h), which would come to the same for these.
 */
#ifndef PALISADE_FAST_PATH_H
#define PALISADE_FAST_PATH_H

/* What is left of a packet once its headers are known to be plain. */
struct plain_packet {
	__u16 source_port_be;
	__u16 destination_port_be;
	__u8 protocol;
	__u8 tcp_flags;
	__u8 tells; /* it has payload, or ends the connection */
};

static __always_inline int on_dns_port(const struct plain_packet *p)
{
	return p->source_port_be == bpf_htons(DNS_PORT) || p->destination_port_be == bpf_htons(DNS_PORT);
}

/* The headers that follow IP, `length` bytes of them and of payload. 0: not plain. */
static __always_inline int plain_layer4(const void *layer4, const void *end, __u32 length, struct plain_packet *p)
{
	if (p->protocol == IPPROTO_TCP) {
		const struct tcphdr *tcp = layer4;
		const __u8 *bytes = layer4;
		__u32 header;

		if ((const void *)(tcp + 1) > end)
			return 0;
		header = (bytes[12] >> 4) * 4;
		p->tcp_flags = bytes[13];
		if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN || header < sizeof(*tcp) || header > length)
			return 0;
		p->tells = length > header || p->tcp_flags & (TCP_FIN | TCP_RST);
		p->source_port_be = tcp->source;
		p->destination_port_be = tcp->dest;
		return !p->tells || !on_dns_port(p);
	}
	if (p->protocol == IPPROTO_UDP) {
		const struct udphdr *udp = layer4;

		if ((const void *)(udp + 1) > end || bpf_ntohs(udp->len) < sizeof(*udp) || bpf_ntohs(udp->len) > length)
			return 0;
		p->source_port_be = udp->source;
		p->destination_port_be = udp->dest;
		return !on_dns_port(p);
	}
	return 0;
}

/* Whether the connection lets the packet pass, and has counted it. `mark`: bits to set on the packet. */
static __always_inline int pass_connection(struct connection *c, int source_low, const struct plain_packet *p, __u32 length, __u32 generation,
					   __u32 *mark)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	int is_reply;

	if (!c || c->generation != generation || c->verdict != VERDICT_ALLOW || c->flags & (CONNECTION_PENDING | CONNECTION_STEERED) ||
	    (p->tells && c->http < HTTP_STATE_OTHER) || now > c->last_seen_ns + connection_timeout_ns(c))
		return 0;
	is_reply = source_low != !!(c->flags & CONNECTION_FORWARD_FROM_LOW);
	if (c->flags & CONNECTION_TRANSLATED && !is_reply)
		*mark = MARK_TRANSLATED;
	connection_touch(c, p->protocol, p->tcp_flags, length, now, is_reply);
	return 1;
}

static __always_inline int pass_plain4(struct __sk_buff *skb, __u16 slot, __u32 generation, __u32 *mark)
{
	const void *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	struct connection_key4 key;
	struct plain_packet p = {};
	__u32 total;
	int source_low;

	if ((const void *)(ip + 1) > end || *(const __u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff))
		return 0;
	total = bpf_ntohs(ip->tot_len);
	p.protocol = ip->protocol;
	if (total < sizeof(*ip) || total + sizeof(struct ethhdr) > skb->len || !plain_layer4(ip + 1, end, total - sizeof(*ip), &p))
		return 0;
	key.slot = slot;
	key.protocol = p.protocol;
	key.sense = 0;
	source_low = order_ends4(&key, ip->saddr, ip->daddr, p.source_port_be, p.destination_port_be);
	return pass_connection(bpf_map_lookup_elem(&connections4, &key), source_low, &p, skb->len, generation, mark);
}

static __always_inline int pass_plain6(struct __sk_buff *skb, __u16 slot, __u32 generation, __u32 *mark)
{
	const void *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	struct connection_key6 key;
	struct plain_packet p = {};
	__u32 length;
	int source_low;

	if ((const void *)(ip + 1) > end || ip->version != 6)
		return 0;
	length = bpf_ntohs(ip->payload_len);
	p.protocol = ip->nexthdr;
	if (!length || length + sizeof(*ip) + sizeof(struct ethhdr) > skb->len || !plain_layer4(ip + 1, end, length, &p))
		return 0;
	key.slot = slot;
	key.protocol = p.protocol;
	key.sense = 0;
	source_low = order_ends6(&key, ip->saddr.in6_u.u6_addr32, ip->daddr.in6_u.u6_addr32, p.source_port_be, p.destination_port_be);
	return pass_connection(bpf_map_lookup_elem(&connections6, &key), source_low, &p, skb->len, generation, mark);
}

/* Whether the packet may pass and has been counted; otherwise nothing has been done yet. */
static __always_inline int pass_known(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	__u32 zero = 0, mark = 0, generation, slot = endpoint->slot;
	struct control *state = bpf_map_lookup_elem(&control, &zero);
	struct endpoint_counters *totals;

	if (!state || state->flags & CONTROL_BYPASS || skb->mark & MARK_GATE_MASK)
		return 0;
	generation = (__u32)state->generation;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (!pass_plain4(skb, slot, generation, &mark))
			return 0;
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) || !pass_plain6(skb, slot, generation, &mark)) {
		return 0;
	}
	if (mark)
		skb->mark |= mark;
	totals = bpf_map_lookup_elem(&endpoint_counters, &slot);
	if (totals) {
		totals->forwarded_packets++;
		totals->forwarded_bytes += skb->len;
	}
	return 1;
}

#endif
