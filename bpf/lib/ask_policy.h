/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What the live policy, and a shadow policy beside it, say about an endpoint's peer; the answer is the scene's judgement. */
#ifndef PALISADE_ASK_POLICY_H
#define PALISADE_ASK_POLICY_H

static __always_inline void ask_shadow(struct scene *s, const __u32 *address, __u32 direction, __u8 protocol, __u16 port, const int v6)
{
	struct judgement *out = &s->judgement;
	struct address_class peer;
	struct policy_entry entry;

	classify(PALISADE_BANKS + s->bank, s->endpoint.network, address, v6, &peer);
	if (s->control_flags & CONTROL_NAMES)
		classify_learned(PALISADE_BANKS + s->bank, s->endpoint.network, address, v6, s->now_ns, s->existing, &peer);
	policy_lookup(&shadow_policies, &shadow_shapes, BANKED(s->bank, s->endpoint.slot), peer.peer_class, direction, protocol, port, &entry);
	out->shadow_verdict = entry.verdict;
	out->shadow_rule_id = entry.rule_id;
	out->shadow_differs = entry.verdict != out->verdict;
}

/* Asks the live policy, and the shadow policy beside it, about the endpoint's peer at `address`; answers in s->judgement. */
static __always_inline void ask_policy(struct scene *s, const __u32 *address, __u32 direction, __u8 protocol, __u16 port, const int v6)
{
	struct judgement *out = &s->judgement;
	struct address_class peer;
	struct policy_entry entry;

	classify(s->bank, s->endpoint.network, address, v6, &peer);
	if (s->control_flags & CONTROL_NAMES)
		classify_learned(s->bank, s->endpoint.network, address, v6, s->now_ns, s->existing, &peer);
	policy_lookup(&policies, &policy_shapes, BANKED(s->bank, s->endpoint.slot), peer.peer_class, direction, protocol, port, &entry);
	out->verdict = entry.verdict;
	out->flags = entry.flags;
	out->l7 = entry.l7;
	out->rule_id = entry.rule_id;
	out->identity = peer.identity;
	out->reason = REASON_NONE;
	out->shadow_differs = 0;
	if (s->control_flags & CONTROL_SHADOW)
		ask_shadow(s, address, direction, protocol, port, v6);
	if (entry.verdict == VERDICT_DENY) {
		out->reason = entry.flags & ENTRY_RULE ? REASON_POLICY_RULE : REASON_POLICY;
		if (s->endpoint.flags & ENDPOINT_AUDIT)
			out->verdict = VERDICT_AUDIT;
	} else if (entry.verdict == VERDICT_AUDIT) {
		out->reason = entry.flags & ENTRY_RULE ? REASON_POLICY_RULE : REASON_POLICY;
	} else if (entry.verdict == VERDICT_SOFT) {
		/* Only where whole packets can be read and answered. */
		if (!(s->may_steer & MAY_ANSWER) || protocol != IPPROTO_TCP) {
			out->verdict = VERDICT_DENY;
			out->reason = REASON_L7;
		}
	} else if (entry.verdict == VERDICT_L7 && !(s->may_steer & MAY_STEER && protocol == IPPROTO_TCP && entry.flags & ENTRY_GATE &&
						    s->control_flags & CONTROL_GATE) &&
		   !(s->may_ask && protocol == IPPROTO_UDP && direction == DIRECTION_EGRESS && entry.flags & ENTRY_DNS)) {
		/* Rules on layer 7 that nothing enforces must not pass unseen. */
		out->verdict = VERDICT_DENY;
		out->reason = REASON_L7;
	}
}

struct address {
	__u32 words[4];
};

/* Functions of their own, because the verifier would walk every inlined copy. `what`: protocol << 16 | port. */
__noinline int ask_policy4(struct scene *s, const struct address *address, __u32 direction, __u32 what)
{
	if (!s || !address)
		return VERDICT_DENY;
	ask_policy(s, address->words, direction, what >> 16, what, 0);
	return s->judgement.verdict;
}

__noinline int ask_policy6(struct scene *s, const struct address *address, __u32 direction, __u32 what)
{
	if (!s || !address)
		return VERDICT_DENY;
	ask_policy(s, address->words, direction, what >> 16, what, 1);
	return s->judgement.verdict;
}

static __always_inline int judge(struct scene *s, const __u32 *address, __u32 direction, __u8 protocol, __u16 port, const int v6)
{
	__u32 what = (__u32)protocol << 16 | port;

	const struct address *at = (const void *)address;

	return v6 ? ask_policy6(s, at, direction, what) : ask_policy4(s, at, direction, what);
}

#endif
