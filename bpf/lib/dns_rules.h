/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Rules on DNS: a packet to a resolver passes when it is one plain question (RFC 1035 §4.1.1: a standard query, one question,
 * no answers) over UDP whose name matches a selector of the rules. Decisions ask for the question with ASK_QUESTION and are
 * taken again once it is read. What cannot be read whole matches nothing: fragments, more than 512 bytes, compressed names,
 * more than 63 labels, payload outside the packet's linear part after DNAT.
 */
#ifndef PALISADE_DNS_RULES_H
#define PALISADE_DNS_RULES_H

#define DNS_OPCODE_BITS 0x78
#define DNS_RESPONSE 0x80

/* Length of the message, 0: it cannot be judged. */
static __always_inline __u32 dns_message_size(const struct packet *p)
{
	if (p->first_fragment || p->later_fragment || p->l4_length < 8 + DNS_HEADER + 5 || p->l4_length > 8 + DNS_QUESTION_BYTES)
		return 0;
	return p->l4_length - 8;
}

static __always_inline void dns_take_question(struct scene *s, struct dns_scratch *d, __u32 size)
{
	d->size = size;
	if (d->data[2] & (DNS_RESPONSE | DNS_OPCODE_BITS) || d->data[6] || d->data[7] || d->data[8] || d->data[9])
		return;
	if (!dns_question(d))
		s->question = d->selectors;
}

/* Reads the question of the scene's packet from where the packet arrives. */
__noinline int dns_ask(struct __sk_buff *skb, struct scene *s)
{
	struct dns_scratch *d;
	__u32 size;

	if (!s)
		return 0;
	s->asked = 1;
	s->question = 0;
	size = dns_message_size(&s->packet);
	if (size < 1 || size > DNS_QUESTION_BYTES)
		return 0;
	d = dns_take(DNS_SCRATCH_INTERFACE);
	if (!d)
		return 0;
	if (!bpf_skb_load_bytes(skb, s->packet.l4_offset + 8, d->data, size))
		dns_take_question(s, d, size);
	dns_release(d);
	return 0;
}

/* The same where no helper reads packets: `linear` is the kernel's address of layer 3, `limit` what lies there. */
__noinline int dns_ask_linear(struct scene *s, __u64 linear, __u32 limit)
{
	struct dns_scratch *d;
	__u32 size, offset;

	if (!s)
		return 0;
	s->asked = 1;
	s->question = 0;
	size = dns_message_size(&s->packet);
	offset = s->packet.l4_offset + 8;
	if (size < 1 || size > DNS_QUESTION_BYTES || offset > 0x3fff || offset + size > limit)
		return 0;
	d = dns_take(DNS_SCRATCH_NETFILTER);
	if (!d)
		return 0;
	if (!bpf_probe_read_kernel(d->data, size, (const void *)(long)(linear + offset)))
		dns_take_question(s, d, size);
	dns_release(d);
	return 0;
}

#endif
