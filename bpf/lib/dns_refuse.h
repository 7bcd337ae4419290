/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * A question that policy denies is answered REFUSED (RFC 1035 §4.1.1) in the resolver's name: a program that waits for an answer
 * which never comes waits for seconds, and tries again. The question itself turns round, as long as it was, to the interface
 * it came from: nobody else can be made to receive it, and it makes nothing of little.
 */
#ifndef PALISADE_DNS_REFUSE_H
#define PALISADE_DNS_REFUSE_H

#define DNS_RCODE_REFUSED 5
#define DNS_KEPT_FLAGS 0x79  /* operation, recursion desired */
#define DNS_KEPT_FLAGS2 0x10 /* checking disabled */

/* Two neighbouring fields change places. Sums over both stay what they were: checksums of IP, and of UDP with its pseudo header. */
static __always_inline int swap_fields(struct __sk_buff *skb, __u32 offset, const __u32 size)
{
	__u8 fields[32];

	if (bpf_skb_load_bytes(skb, offset, fields, size) || bpf_skb_load_bytes(skb, offset + size, fields + 16, size))
		return -1;
	return bpf_skb_store_bytes(skb, offset, fields + 16, size, 0) || bpf_skb_store_bytes(skb, offset + size, fields, size, 0);
}

/* `layer3`: offset of the IP header. Returns what becomes of the dropped packet. */
__noinline int dns_refuse(struct __sk_buff *skb, struct scene *s, __u32 layer3)
{
	const struct packet *p;
	__u8 flags[2] __attribute__((aligned(2))), answer[2] __attribute__((aligned(2)));
	__u32 udp, addresses, failed;

	if (!s)
		return TC_ACT_SHOT;
	p = &s->packet;
	if (p->destination_port_be != bpf_htons(DNS_PORT) || p->first_fragment || p->later_fragment || p->l4_length < 8 + DNS_HEADER + 5 ||
	    (s->reason != REASON_POLICY && s->reason != REASON_POLICY_RULE && s->reason != REASON_L7))
		return TC_ACT_SHOT;
	udp = p->l4_offset;
	if (bpf_skb_load_bytes(skb, udp + 8 + 2, flags, sizeof(flags)) || flags[0] & DNS_RESPONSE)
		return TC_ACT_SHOT;
	answer[0] = DNS_RESPONSE | (flags[0] & DNS_KEPT_FLAGS);
	answer[1] = (flags[1] & DNS_KEPT_FLAGS2) | DNS_RCODE_REFUSED;
	addresses = layer3 + (p->family == 4 ? __builtin_offsetof(struct iphdr, saddr) : __builtin_offsetof(struct ipv6hdr, saddr));
	failed = swap_fields(skb, 0, ETH_ALEN) || swap_fields(skb, udp, 2) ||
		 (p->family == 4 ? swap_fields(skb, addresses, 4) : swap_fields(skb, addresses, 16)) ||
		 bpf_l4_csum_replace(skb, udp + 6, *(__u16 *)flags, *(__u16 *)answer, BPF_F_MARK_MANGLED_0 | sizeof(__u16)) ||
		 bpf_skb_store_bytes(skb, udp + 8 + 2, answer, sizeof(answer), 0);
	return failed ? TC_ACT_SHOT : bpf_redirect_peer(skb->ifindex, 0);
}

#endif
