/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Both ends of a connection are told that it is over: the packet that is refused becomes a reset (RFC 9293 §3.5.2) to the
 * server, and a copy of it the answer to the client, a reset or a short HTTP answer and the end. One of the two leaves
 * through the interface's egress, the other arrives at it anew; copies are queued, so that no program runs inside another.
 */
#ifndef PALISADE_REFUSE_H
#define PALISADE_REFUSE_H

#define TCP_PSH 0x08
#define TCP_HEADER 20
#define ANSWER_WINDOW 512
/* As the HTTP gate says it; a multiple of four bytes, because checksums are made of words. */
#define FORBIDDEN_TEXT \
	"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length:  33\r\nConnection: close\r\n\r\n" \
	"Access denied by network policy.\n"
#define FORBIDDEN_BYTES 140

struct answer {
	__u16 source_port_be;
	__u16 destination_port_be;
	__u32 sequence_be;
	__u32 acknowledged_be;
	__u8 offset;
	__u8 flags;
	__u16 window_be;
	__u16 checksum;
	__u16 urgent;
	__u8 text[FORBIDDEN_BYTES];
};
struct answer_scratch {
	struct answer answer;
	__u8 macs[12];
	__u32 layer3;
	__u32 sequence;
	__u32 acknowledged;
};
MAP(answers, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct answer_scratch);

_Static_assert(sizeof(FORBIDDEN_TEXT) - 1 == FORBIDDEN_BYTES && FORBIDDEN_BYTES % 4 == 0, "the answer's text has this length");

static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Writes layer 4 over the packet's, and what else depends on its length and direction. `turned`: back to the client. */
static __always_inline int write_answer(struct __sk_buff *skb, const struct scene *s, struct answer_scratch *a, const __u32 text, const int turned)
{
	const struct packet *p = &s->packet;
	const __u32 *source = turned ? p->destination : p->source, *destination = turned ? p->source : p->destination;
	__u32 length = TCP_HEADER + text, l4 = p->l4_offset, pseudo, whole;
	__u16 old_be, new_be;
	__u8 macs[12];

	if (l4 > 512 || bpf_skb_change_tail(skb, l4 + length, 0))
		return -1;
	__builtin_memcpy(macs, turned ? a->macs + 6 : a->macs, 6);
	__builtin_memcpy(macs + 6, turned ? a->macs : a->macs + 6, 6);
	if (bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0))
		return -1;
	if (p->family == 4) {
		if (bpf_skb_load_bytes(skb, a->layer3 + 2, &old_be, 2))
			return -1;
		new_be = bpf_htons(l4 + length - a->layer3);
		if (bpf_skb_store_bytes(skb, a->layer3 + 12, source, 4, 0) || bpf_skb_store_bytes(skb, a->layer3 + 16, destination, 4, 0) ||
		    bpf_skb_store_bytes(skb, a->layer3 + 2, &new_be, 2, 0) || bpf_l3_csum_replace(skb, a->layer3 + 10, old_be, new_be, 2))
			return -1;
	} else {
		new_be = bpf_htons(l4 + length - a->layer3 - sizeof(struct ipv6hdr));
		if (bpf_skb_store_bytes(skb, a->layer3 + 8, source, 16, 0) || bpf_skb_store_bytes(skb, a->layer3 + 24, destination, 16, 0) ||
		    bpf_skb_store_bytes(skb, a->layer3 + 4, &new_be, 2, 0))
			return -1;
	}
	a->answer.source_port_be = turned ? p->destination_port_be : p->source_port_be;
	a->answer.destination_port_be = turned ? p->source_port_be : p->destination_port_be;
	a->answer.sequence_be = bpf_htonl(turned ? a->acknowledged : a->sequence);
	a->answer.acknowledged_be = bpf_htonl(turned ? a->sequence + p->l4_length - p->l4_header + !!(p->tcp_flags & TCP_FIN) : a->acknowledged);
	a->answer.offset = TCP_HEADER / 4 << 4;
	a->answer.flags = text ? TCP_FIN | TCP_PSH | TCP_ACK : TCP_RST | TCP_ACK;
	a->answer.window_be = bpf_htons(ANSWER_WINDOW);
	a->answer.checksum = a->answer.urgent = 0;
	pseudo = bpf_csum_diff(0, 0, (__be32 *)p->source, 16, bpf_htonl(IPPROTO_TCP + length));
	pseudo = fold((__u32)bpf_csum_diff(0, 0, (__be32 *)p->destination, 16, pseudo));
	whole = bpf_csum_diff(0, 0, (__be32 *)&a->answer, length, 0);
	/*
	 * Where the checksum is completed later (CHECKSUM_PARTIAL), the field holds the sum of the pseudo header, and what is
	 * asked of bpf_l4_csum_replace is left out. Elsewhere it makes ~(difference + ~pseudo) of the field, which is to
	 * become ~(pseudo + whole): the difference is pseudo + whole + pseudo.
	 */
	a->answer.checksum = pseudo;
	if (bpf_skb_store_bytes(skb, l4, &a->answer, length, 0))
		return -1;
	return bpf_l4_csum_replace(skb, l4 + 16, 0, fold((__u64)whole + pseudo + pseudo), 0);
}

/* To the client; `s->refuse` says what. */
static __always_inline int answer_client(struct __sk_buff *skb, const struct scene *s, struct answer_scratch *a)
{
	return s->refuse == SOFT_FORBIDDEN ? write_answer(skb, s, a, FORBIDDEN_BYTES, 1) : write_answer(skb, s, a, 0, 1);
}

/* `layer3`: offset of the IP header. Returns what the program returns. What cannot be answered is dropped. */
__noinline int refuse(struct __sk_buff *skb, struct scene *s, __u32 layer3)
{
	struct answer_scratch *a;
	__u32 zero = 0, numbers[2];

	if (!s)
		return TC_ACT_SHOT;
	a = bpf_map_lookup_elem(&answers, &zero);
	if (!a)
		return TC_ACT_SHOT;
	if (from_gate(s)) /* from here on nothing is told, and the answer goes where the packet came from */
		s->packet.source_port_be = other_gate_port_be(s->packet.source_port_be);
	skb->mark &= ~MARK_GATE_MASK; /* the answer is none of the gate's */
	a->layer3 = layer3;
	if (!layer3 || bpf_skb_load_bytes(skb, 0, a->macs, sizeof(a->macs)) || bpf_skb_load_bytes(skb, s->packet.l4_offset + 4, numbers, sizeof(numbers)))
		return TC_ACT_SHOT;
	a->sequence = bpf_ntohl(numbers[0]);
	a->acknowledged = bpf_ntohl(numbers[1]);
	__builtin_memcpy(a->answer.text, FORBIDDEN_TEXT, FORBIDDEN_BYTES);
	if (s->direction == DIRECTION_EGRESS) {
		if (write_answer(skb, s, a, 0, 0))
			return TC_ACT_SHOT;
		/* Where the copy finds no room, the other end is told all the same. */
		bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
		return answer_client(skb, s, a) ? TC_ACT_SHOT : bpf_redirect(skb->ifindex, 0);
	}
	if (answer_client(skb, s, a))
		return TC_ACT_SHOT;
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	return write_answer(skb, s, a, 0, 0) ? TC_ACT_SHOT : TCX_NEXT;
}

#endif
