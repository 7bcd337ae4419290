/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Egress to translated addresses, decided on the backend: a netfilter program at FORWARD and LOCAL_IN of the node's
 * network namespace, after DNAT and before SNAT (docs/adr/0005-egress-to-services.md). It judges packets whose
 * connection netfilter translated, and packets that the endpoint hook marked because it left the decision to this one.
 */
#ifndef PALISADE_AFTER_DNAT_H
#define PALISADE_AFTER_DNAT_H

#define NF_DROP 0
#define NF_ACCEPT 1
#define IPS_DST_NAT (1UL << 5) /* enum ip_conntrack_status */
#define IP_CT_RELATED 1
#define IP_CT_IS_REPLY 3

static __always_inline int same_address(const void *one, const __u32 *other)
{
	const __u32 *words = one;

	return words[0] == other[0] && words[1] == other[1] && words[2] == other[2] && words[3] == other[3];
}

/* The connection as the endpoint hook knows it: towards the address before translation. */
static __always_inline int translated_connection(struct scene *s, const __u32 *original, __u16 original_port_be, const int v6)
{
	__u32 backend[4];
	__u16 backend_port_be = s->packet.destination_port_be;
	struct packet *p = &s->packet;
	union connection_key key;
	struct connection *c;
	int fresh, refused = 0;

	__builtin_memcpy(backend, p->destination, 16);
	__builtin_memcpy(p->destination, original, 16);
	p->destination_port_be = original_port_be;
	connection_key_of(p, s->endpoint.slot, v6, &key);
	c = connection_find(&key, v6);
	if (c && c->generation == s->generation && c->verdict != VERDICT_DENY && c->flags & CONNECTION_TRANSLATED &&
	    same_address(c->backend, backend) && c->backend_port == bpf_ntohs(backend_port_be) && !on_question(c->verdict, p->protocol) &&
	    (c->verdict != VERDICT_L7 || s->may_steer & MAY_STEER))
		return PASS;

	judge(s, backend, DIRECTION_EGRESS, p->protocol, bpf_ntohs(backend_port_be), v6);
	if (on_question(s->judgement.verdict, p->protocol)) {
		if (!s->asked) {
			__builtin_memcpy(p->destination, backend, 16);
			p->destination_port_be = backend_port_be;
			return ASK_QUESTION;
		}
		refused = question_refused(s, s->judgement.l7);
		if (refused) {
			s->judgement.verdict = VERDICT_DENY;
			s->judgement.reason = REASON_L7;
		}
	}
	if (s->judgement.verdict == VERDICT_SOFT && opens_with_data(p)) {
		s->judgement.verdict = VERDICT_DENY;
		s->judgement.reason = REASON_UNPARSED;
	}
	if (!c) {
		/* No room in the table: policy alone decides, replies will not be admitted. */
		return s->judgement.verdict == VERDICT_DENY ? report_drop(s, 0, DIRECTION_EGRESS, 0) : PASS;
	}
	fresh = c->flags & CONNECTION_PENDING;
	c->flags |= CONNECTION_TRANSLATED;
	__builtin_memcpy(c->backend, backend, 16);
	c->backend_port = bpf_ntohs(backend_port_be);
	if (s->judgement.verdict == VERDICT_DENY) {
		if (!fresh && !refused) /* other questions of it may pass */
			connection_deny(s, c, 0);
		report_drop(s, c, DIRECTION_EGRESS, 0);
		if (fresh) {
			struct endpoint_counters *totals = counters_of(s->endpoint.slot);

			if (totals) /* the endpoint hook has let them pass, and nothing will tell them */
				totals->untracked_packets += c->packets[0];
			connection_remove(&key, v6);
		}
		return DROP;
	}
	c->flags &= ~CONNECTION_PENDING;
	connection_take(c, s);
	if (fresh)
		report_connection(s, c, EVENT_NEW, s->judgement.reason, 0);
	return PASS;
}

__noinline int translated4(struct scene *s, const struct address *original, __u32 original_port_be)
{
	return s && original ? translated_connection(s, original->words, original_port_be, 0) : DROP;
}

__noinline int translated6(struct scene *s, const struct address *original, __u32 original_port_be)
{
	return s && original ? translated_connection(s, original->words, original_port_be, 1) : DROP;
}

static __always_inline int judge_translated(struct bpf_nf_ctx *ctx, struct scene *s, const struct nf_conn *ct, int info)
{
	struct sk_buff *skb = ctx->skb;
	__u32 header = skb->network_header;
	struct reader from = { .linear = skb->head + header, .limit = skb->len - skb->data_len };
	struct address original = {};
	__u16 original_port_be;
	int bad, verdict;
	__u64 head = 0;

	bad = ctx->state->pf == 2 /* NFPROTO_IPV4 */ ? parse_ipv4(&from, &s->packet, 0, DIRECTION_EGRESS) :
						       parse_ipv6(&from, &s->packet, 0, DIRECTION_EGRESS);
	if (bad)
		return drop_unread(s, REASON_INVALID);
	if (s->packet.related && info == IP_CT_RELATED)
		return PASS; /* the endpoint hook has looked at the packet inside */
	if (s->packet.later_fragment && fragment_recall(s))
		return drop_unread(s, REASON_FRAGMENT);
	__builtin_memcpy(&original, s->packet.destination, 16);
	original_port_be = s->packet.destination_port_be;
	if (ct) {
		BPF_CORE_READ_INTO(&original, ct, tuplehash[0].tuple.dst.u3.all);
		if (s->packet.protocol != IPPROTO_ICMP && s->packet.protocol != IPPROTO_ICMPV6)
			original_port_be = BPF_CORE_READ(ct, tuplehash[0].tuple.dst.u.all);
	}
	verdict = s->packet.family == 4 ? translated4(s, &original, original_port_be) : translated6(s, &original, original_port_be);
	if (verdict != ASK_QUESTION && (verdict != DROP || s->packet.protocol != IPPROTO_UDP || original_port_be != bpf_htons(DNS_PORT)))
		return verdict;
	/* A number: functions take no untrusted pointers. */
	BPF_CORE_READ_INTO(&head, skb, head);
	if (verdict == ASK_QUESTION) {
		dns_ask_linear(s, head + header, from.limit);
		verdict = s->packet.family == 4 ? translated4(s, &original, original_port_be) : translated6(s, &original, original_port_be);
	}
	if (verdict == DROP)
		dns_watch_refused(s, head + header, from.limit);
	return verdict;
}

/* The coarse clock is not offered to netfilter programs; the precise one is the same clock, at most a tick ahead. */
SEC("netfilter")
int after_dnat(struct bpf_nf_ctx *ctx)
{
	unsigned long tracked = ctx->skb->_nfct;
	int info = tracked & 7;
	const struct nf_conn *ct = (void *)(tracked & ~7UL);
	__u32 mark = ctx->skb->mark & MARK_TRANSLATED;
	struct endpoint *endpoint;
	struct scene *s;
	__u32 ifindex;

	if (info >= IP_CT_IS_REPLY || (!ct && !mark))
		return NF_ACCEPT;
	if (!mark && !(BPF_CORE_READ(ct, status) & IPS_DST_NAT))
		return NF_ACCEPT;
	ifindex = ctx->state->in->ifindex;
	endpoint = endpoint_of(ifindex);
	if (!endpoint)
		return NF_ACCEPT;
	s = scene_of(SCENE_NETFILTER, endpoint, ifindex, DIRECTION_EGRESS, ctx->skb->len);
	if (!s || scene_open(s, bpf_ktime_get_ns()) || s->control_flags & CONTROL_BYPASS)
		return NF_ACCEPT;
	s->may_ask = 1;
	s->may_steer = MAY_ANSWER | ((ctx->skb->mark & MARK_GATE_MASK) == MARK_STEER ? MAY_STEER : 0);
	if (judge_translated(ctx, s, ct, info) == PASS)
		return NF_ACCEPT;
	count_packet(s, 0, 0);
	return NF_DROP;
}

#endif
