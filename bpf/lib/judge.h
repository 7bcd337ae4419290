/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The decision about one packet: an entry of the connection table where there is one, policy where there is none. */
#ifndef PALISADE_JUDGE_H
#define PALISADE_JUDGE_H

/* struct scene.soft: a segment of a connection under soft rules, and what the connection table knows of it. */
#define SOFT_SEGMENT 1 /* of a connection that is known; this packet has not been counted */
#define SOFT_OPENS 2   /* its SYN */
#define SOFT_UNKNOWN 3 /* of one whose beginning was not seen */

#define DROP 0
#define PASS 1
#define PASS_AUDITED 2
/* Something must be found out first, then the decision is taken again; nothing has been told yet. */
#define ASK_QUESTION 3 /* the DNS question */
#define ASK_BACKENDS 4 /* what is known of a service's backends, see foresee.h */
#define ASK_GATE 5     /* whether the HTTP gate waits for the packet */

/* Reports one dropped packet under s->judgement. */
__noinline int report_drop(struct scene *s, struct connection *c, __u32 direction, __u32 swapped)
{
	const struct judgement *j;

	if (!s)
		return DROP;
	j = &s->judgement;
	struct report r = {
		.kind = EVENT_DROPPED,
		.verdict = VERDICT_DENY,
		.reason = j->reason,
		.flags = (j->flags & ENTRY_LOG ? FLOW_LOG : 0) | (j->shadow_differs ? FLOW_SHADOW : 0),
		.direction = direction,
		.shadow_verdict = j->shadow_verdict,
		.shadow_rule_id = j->shadow_rule_id,
		.rule_id = j->rule_id,
		.peer_identity = j->identity,
		.swapped = swapped,
	};

	s->reason = j->reason;
	report_denial(s, &r, c);
	return DROP;
}

/* `swapped`: the packet in the scene goes the other way than the connection. */
__noinline int report_connection(struct scene *s, struct connection *c, __u32 kind, __u32 reason, __u32 swapped)
{
	if (!s || !c)
		return -1;
	struct report r = {
		.kind = kind,
		.verdict = c->verdict,
		.reason = reason,
		.flags = (c->flags & CONNECTION_LOG ? FLOW_LOG : 0) | (c->shadow_differs ? FLOW_SHADOW : 0),
		.shadow_verdict = c->shadow_verdict,
		.shadow_rule_id = c->shadow_rule_id,
		.direction = !!(c->flags & CONNECTION_EGRESS),
		.rule_id = c->rule_id,
		.peer_identity = c->peer_identity,
		.swapped = swapped,
	};

	return report_flow(s, &r, c);
}

/* The connection lives under s->judgement from now on. */
static __always_inline void connection_take(struct connection *c, const struct scene *s)
{
	const struct judgement *j = &s->judgement;

	c->verdict = j->verdict;
	c->rule_id = j->rule_id;
	c->peer_identity = j->identity;
	c->l7 = j->l7;
	c->shadow_verdict = j->shadow_verdict;
	c->shadow_rule_id = j->shadow_rule_id;
	c->shadow_differs = j->shadow_differs;
	c->flags = (c->flags & ~(CONNECTION_LOG | CONNECTION_RULE)) | (j->flags & ENTRY_LOG ? CONNECTION_LOG : 0) |
		   (j->flags & ENTRY_RULE ? CONNECTION_RULE : 0);
	c->generation = s->generation;
}

/*
 * Policy cuts a connection that it allowed before. The entry stays, so that its packets keep meeting a verdict instead
 * of looking like a connection that is older than the hooks; it lives longer than that adoption lasts.
 */
static __always_inline void connection_deny(struct scene *s, struct connection *c, int swapped)
{
	if (c->verdict != VERDICT_DENY)
		report_connection(s, c, EVENT_CLOSED, s->judgement.reason, swapped);
	connection_take(c, s);
	c->state = STATE_CLOSING;
	c->last_seen_ns = s->now_ns;
}

/* The address of the other end, whichever way the packet goes. */
static __always_inline const __u32 *peer_address(const struct scene *s)
{
	return s->direction == DIRECTION_EGRESS ? s->packet.destination : s->packet.source;
}

/*
 * A packet of a TCP connection that is older than the hooks may be the answer of one that goes the other way: passes if
 * policy allows that. Leaves the first judgement in place when it does not.
 */
static __always_inline int adopt_reversed(struct scene *s, __u32 direction, __u16 port, const int v6)
{
	struct judgement first = s->judgement;

	if (judge(s, peer_address(s), direction, IPPROTO_TCP, port, v6) != VERDICT_DENY)
		return 1;
	s->judgement = first;
	return 0;
}

static __always_inline int isolated(const struct scene *s, __u32 direction)
{
	__u32 row = BANKED(s->bank, s->endpoint.slot);
	struct policy_shape *shape = bpf_map_lookup_elem(&policy_shapes, &row);

	return shape && (direction ? shape->isolated[1] : shape->isolated[0]);
}

/* A verdict that holds for the questions that a rule on DNS names only, each on its own. */
static __always_inline int on_question(__u8 verdict, __u8 protocol)
{
	return verdict == VERDICT_L7 && protocol == IPPROTO_UDP;
}

static __always_inline int question_refused(const struct scene *s, __u16 l7)
{
	__u32 key = s->bank << 16 | l7;
	__u64 *admitted = bpf_map_lookup_elem(&dns_rules, &key);

	return !admitted || !(s->question & *admitted);
}

/* A packet that no connection covers. */
static __always_inline int judge_new(struct scene *s, union connection_key *key, int source_low, const int v6)
{
	const struct packet *p = &s->packet;
	int tcp = p->protocol == IPPROTO_TCP;
	int mid_stream = tcp && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
	__u32 direction = s->direction;
	__u16 port = p->policy_port;
	struct connection *c = &s->fresh;
	const struct service *service = 0;
	int swapped = 0, counts = 1;

	__builtin_memset(c, 0, sizeof(*c));
	c->protocol = p->protocol;
	c->http = tcp && s->control_flags & CONTROL_HTTP ? HTTP_STATE_UNDECIDED : HTTP_STATE_OTHER;
	if (direction == DIRECTION_EGRESS && (s->control_flags & CONTROL_AFTER_DNAT) && p->protocol != IPPROTO_ICMP &&
	    p->protocol != IPPROTO_ICMPV6)
		service = service_of(s);
	if (service) {
		if (must_foresee(s, service))
			return ASK_BACKENDS;
		if (s->foreseen == FORESEEN_REFUSED) {
			c->flags = CONNECTION_TRANSLATED;
			__builtin_memcpy(c->backend, s->backend, 16);
			c->backend_port = s->backend_port;
			return report_drop(s, c, direction, 0);
		}
		c->flags = CONNECTION_TRANSLATED | CONNECTION_PENDING;
		c->generation = s->generation;
		c->verdict = VERDICT_DENY;
		s->pass_mark = MARK_TRANSLATED;
	} else {
		if (mid_stream && direction == DIRECTION_INGRESS && !s->foreseen && s->may_steer & MAY_STEER && s->control_flags & CONTROL_GATE)
			return ASK_GATE;
		if (s->foreseen == FORESEEN_AWAITED) {
			s->steer = STEER_REPLY;
			return PASS;
		}
		judge(s, peer_address(s), direction, p->protocol, port, v6);
		if (mid_stream && s->judgement.verdict == VERDICT_DENY && s->picking_up &&
		    adopt_reversed(s, !direction, bpf_ntohs(p->source_port_be), v6)) {
			direction = !direction;
			port = bpf_ntohs(p->source_port_be);
			swapped = 1;
		} else if (mid_stream && p->tcp_flags & TCP_SYN && !s->picking_up && isolated(s, direction)) {
			/* A handshake's second step without its first: nobody asked. */
			s->judgement.verdict = VERDICT_DENY;
			s->judgement.reason = REASON_STATE;
		}
		if (s->judgement.verdict == VERDICT_DENY)
			return report_drop(s, 0, direction, swapped);
		if (on_question(s->judgement.verdict, p->protocol)) {
			if (!s->asked)
				return ASK_QUESTION;
			if (question_refused(s, s->judgement.l7)) {
				s->judgement.reason = REASON_L7;
				return report_drop(s, 0, direction, swapped);
			}
		}
		connection_take(c, s);
	}
	if (tcp && (c->verdict == VERDICT_L7 || s->foreseen == FORESEEN_GATE))
		counts = steer_connection(s, c, swapped);
	if (s->foreseen == FORESEEN_SOFT && !mid_stream) {
		s->soft = SOFT_OPENS;
		s->watch_http = 1;
	}
	if (c->verdict == VERDICT_SOFT && !swapped) {
		if (opens_with_data(p)) {
			s->judgement.reason = REASON_UNPARSED;
			return report_drop(s, 0, direction, 0);
		}
		s->soft = mid_stream ? SOFT_UNKNOWN : SOFT_OPENS;
		s->watch_http = 1;
	}

	if (tcp && (p->tcp_flags & TCP_RST))
		return PASS; /* nothing will follow it */
	c->flags |= (direction == DIRECTION_EGRESS ? CONNECTION_EGRESS : 0) | (source_low != swapped ? CONNECTION_FORWARD_FROM_LOW : 0);
	if (mid_stream) {
		c->state = STATE_ESTABLISHED;
		if (s->picking_up)
			c->flags |= CONNECTION_ADOPTED;
	}
	if (tcp && !mid_stream) {
		c->handshake_us = bpf_ktime_get_ns() / 1000;
		c->timed = 1;
	}
	c->through_gate = s->gate_mark == MARK_GATE_UP;
	c->policy_port = port;
	c->socket_cookie = s->socket_cookie;
	c->first_seen_ns = c->last_seen_ns = s->now_ns;
	if (counts) {
		c->packets[0] = !swapped;
		c->packets[1] = swapped;
		c->bytes[0] = swapped ? 0 : p->length;
		c->bytes[1] = swapped ? p->length : 0;
	}
	c->tcp_flags[0] = swapped ? 0 : p->tcp_flags;
	c->tcp_flags[1] = swapped ? p->tcp_flags : 0;
	if (!(c->flags & CONNECTION_PENDING))
		report_connection(s, c, EVENT_NEW, c->verdict == VERDICT_AUDIT ? s->judgement.reason : REASON_NONE, swapped);
	s->tracked = !connection_store(key, c, v6);
	return PASS;
}

/* A packet of a connection that the current generation denies, or (REASON_L7) a question that it does not admit. */
static __always_inline int drop_denied(struct scene *s, struct connection *c, __u32 reason, int is_reply)
{
	struct judgement *j = &s->judgement;

	j->flags = c->flags & CONNECTION_LOG ? ENTRY_LOG : 0;
	j->rule_id = c->rule_id;
	j->identity = c->peer_identity;
	j->reason = reason;
	j->shadow_differs = c->shadow_differs;
	j->shadow_verdict = c->shadow_verdict;
	j->shadow_rule_id = c->shadow_rule_id;
	return report_drop(s, 0, !!(c->flags & CONNECTION_EGRESS), is_reply);
}

/* The generation has moved since the verdict of this connection: asks the current policy about its forward direction. */
static __always_inline void judge_again(struct scene *s, struct connection *c, int is_reply, const int v6)
{
	struct loss_counters *loss = losses();
	__u32 direction = !!(c->flags & CONNECTION_EGRESS);
	__u8 verdict = c->verdict, differed = c->shadow_differs;

	if (loss)
		loss->rejudged++;
	s->existing = verdict != VERDICT_DENY;
	if (c->flags & CONNECTION_TRANSLATED) {
		__u32 backend[4];

		if (!is_reply)
			return; /* the after-DNAT hook judges it */
		__builtin_memcpy(backend, c->backend, 16);
		judge(s, backend, DIRECTION_EGRESS, c->protocol, c->backend_port, v6);
	} else {
		judge(s, peer_address(s), direction, c->protocol, c->policy_port, v6);
		if (s->judgement.verdict == VERDICT_DENY && (c->flags & CONNECTION_ADOPTED))
			adopt_reversed(s, !direction, bpf_ntohs(is_reply ? s->packet.destination_port_be : s->packet.source_port_be), v6);
	}
	if (s->judgement.verdict == VERDICT_DENY) {
		connection_deny(s, c, is_reply);
		return;
	}
	connection_take(c, s);
	if (c->verdict != verdict)
		report_connection(s, c, verdict == VERDICT_DENY ? EVENT_NEW : EVENT_DELTA, s->judgement.reason, is_reply);
	else if (c->shadow_differs && !differed)
		report_connection(s, c, EVENT_SHADOW, REASON_NONE, is_reply);
}

/* The packet passes and is the connection's. */
static __always_inline void connection_pass(struct connection *c, struct scene *s, int is_reply)
{
	const struct packet *p = &s->packet;

	connection_touch(c, p->protocol, p->tcp_flags, p->length, s->now_ns, is_reply);
	s->tracked = 1;
}

/* A packet of a connection whose content is judged: under soft rules it is counted when it has been. */
static __always_inline void judge_content(struct scene *s, struct connection *c, int is_reply)
{
	if (c->verdict == VERDICT_SOFT && !is_reply) {
		s->soft = s->watch_http = SOFT_SEGMENT;
		return;
	}
	if (!is_steered(c) || steer_connection(s, c, is_reply))
		connection_pass(c, s, is_reply);
	s->watch_http = c->http < HTTP_STATE_OTHER;
}

static __always_inline int judge_family(struct scene *s, const int v6)
{
	const struct packet *p = &s->packet;
	union connection_key key;
	int source_low = connection_key_of(p, s->endpoint.slot, v6, &key);
	struct connection *c = connection_find(&key, v6);

	if (!c)
		c = connection_through_gate(s, &key, &source_low, v6);
	if (c) {
		int handshake = p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		int is_reply = source_low != !!(c->flags & CONNECTION_FORWARD_FROM_LOW);

		if (s->now_ns > c->last_seen_ns + connection_timeout_ns(c) || (handshake && c->state >= STATE_CLOSING)) {
			/* Too old, or its ports are used again: this packet opens a connection of its own. */
			if (c->verdict != VERDICT_DENY)
				report_connection(s, c, EVENT_CLOSED, REASON_NONE, is_reply);
			connection_remove(&key, v6);
			goto fresh;
		}
		if (is_reply && handshake) {
			/* Simultaneous open (RFC 9293 §3.5): the peer's own attempt is judged as what it is. */
			if (judge(s, peer_address(s), s->direction, p->protocol, p->policy_port, v6) == VERDICT_DENY)
				return report_drop(s, 0, s->direction, 0);
			return PASS;
		}
		if (is_reply && (c->flags & CONNECTION_PENDING)) {
			s->reason = REASON_STATE;
			return DROP;
		}
		if (c->flags & CONNECTION_TRANSLATED && !is_reply)
			s->pass_mark = MARK_TRANSLATED;
		if (c->generation != s->generation)
			judge_again(s, c, is_reply, v6);
		if (c->verdict == VERDICT_DENY && (is_reply || !(c->flags & CONNECTION_TRANSLATED))) {
			if (!is_reply || p->protocol == IPPROTO_TCP)
				return drop_denied(s, c, c->flags & CONNECTION_RULE ? REASON_POLICY_RULE : REASON_POLICY, is_reply);
			/* Without a handshake, what answered a connection that is now denied may be a request of its own. */
			connection_remove(&key, v6);
			goto fresh;
		}
		/* One that waits for the after-DNAT hook's new judgement is that hook's alone. */
		if (!is_reply && on_question(c->verdict, p->protocol) && c->generation == s->generation) {
			if (!s->asked)
				return ASK_QUESTION;
			if (question_refused(s, c->l7))
				return drop_denied(s, c, REASON_L7, 0);
		}
		if (c->verdict < VERDICT_L7 && !(c->flags & CONNECTION_STEERED)) {
			connection_pass(c, s, is_reply);
			s->watch_http = c->http < HTTP_STATE_OTHER;
		} else {
			judge_content(s, c, is_reply);
		}
		return c->verdict == VERDICT_AUDIT ? PASS_AUDITED : PASS;
	}
fresh:
	return judge_new(s, &key, source_low, v6);
}

/* An ICMP error passes when the packet inside it belongs to a connection that does (RFC 5508 §4.2). */
static __always_inline int is_related(struct scene *s, const int v6)
{
	const struct packet *embedded = &s->embedded;
	union connection_key key;
	struct connection *c;
	__u32 peer[4];
	__u16 port;

	connection_key_of(embedded, s->endpoint.slot, v6, &key);
	c = connection_find(&key, v6);
	if (!c || s->now_ns > c->last_seen_ns + connection_timeout_ns(c) || c->flags & CONNECTION_PENDING)
		return 0;
	if (c->generation == s->generation)
		return c->verdict != VERDICT_DENY;
	/* The error's receiver sent the embedded packet, so its peer is that packet's destination; and the other way round. */
	__builtin_memcpy(peer, s->direction == DIRECTION_INGRESS ? embedded->destination : embedded->source, 16);
	port = c->policy_port;
	if (c->flags & CONNECTION_TRANSLATED) {
		__builtin_memcpy(peer, c->backend, 16);
		port = c->backend_port;
	}
	return judge(s, peer, !!(c->flags & CONNECTION_EGRESS), c->protocol, port, v6) != VERDICT_DENY;
}

#endif
