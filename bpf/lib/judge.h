/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* The decision about one packet: an entry of the connection table where there is one, policy where there is none. */
#ifndef PALISADE_JUDGE_H
#define PALISADE_JUDGE_H

#define PASS 1
#define DROP 0

/* Asks the live policy about the endpoint's peer at `address`. */
static __always_inline void judge_protocol(const struct scene *s, const __u32 *address, __u32 direction, __u8 protocol, __u16 port,
					   const int v6, struct judgement *out)
{
	struct address_class peer;
	struct policy_entry entry;

	classify(s->bank, s->endpoint.network, address, v6, &peer);
	policy_lookup(&policies, &policy_shapes, BANKED(s->bank, s->endpoint.slot), peer.peer_class, direction, protocol, port, &entry);
	out->verdict = entry.verdict;
	out->flags = entry.flags;
	out->l7 = entry.l7;
	out->rule_id = entry.rule_id;
	out->identity = peer.identity;
	out->reason = REASON_NONE;
	if (entry.verdict == VERDICT_DENY) {
		out->reason = entry.flags & ENTRY_RULE ? REASON_POLICY_RULE : REASON_POLICY;
		if (s->endpoint.flags & ENDPOINT_AUDIT)
			out->verdict = VERDICT_AUDIT;
	} else if (entry.verdict == VERDICT_AUDIT) {
		out->reason = entry.flags & ENTRY_RULE ? REASON_POLICY_RULE : REASON_POLICY;
	} else if (entry.verdict == VERDICT_L7) {
		/* Rules on layer 7 that nothing enforces must not pass unseen. */
		out->verdict = VERDICT_DENY;
		out->reason = REASON_L7;
	}
}

static __always_inline void judge(const struct scene *s, const __u32 *address, __u32 direction, __u16 port, const int v6,
				  struct judgement *out)
{
	judge_protocol(s, address, direction, s->packet.protocol, port, v6, out);
}

static __always_inline void report_drop(struct scene *s, const struct judgement *j, __u32 direction, const struct connection *c, int swapped)
{
	struct report r = {
		.kind = EVENT_DROPPED,
		.verdict = VERDICT_DENY,
		.reason = j->reason,
		.flags = j->flags & ENTRY_LOG ? FLOW_LOG : 0,
		.direction = direction,
		.rule_id = j->rule_id,
		.peer_identity = j->identity,
		.swapped = swapped,
		.connection = c,
	};

	s->reason = j->reason;
	report_flow(s, &r);
}

static __always_inline void report_connection(struct scene *s, const struct connection *c, __u8 kind, __u32 reason, int swapped)
{
	struct report r = {
		.kind = kind,
		.verdict = c->verdict,
		.reason = reason,
		.flags = c->flags & CONNECTION_LOG ? FLOW_LOG : 0,
		.direction = !!(c->flags & CONNECTION_EGRESS),
		.rule_id = c->rule_id,
		.peer_identity = c->peer_identity,
		.swapped = swapped,
		.connection = c,
	};

	report_flow(s, &r);
}

static __always_inline void connection_take(struct connection *c, const struct scene *s, const struct judgement *j)
{
	c->verdict = j->verdict;
	c->rule_id = j->rule_id;
	c->peer_identity = j->identity;
	c->l7 = j->l7;
	c->flags = (c->flags & ~(CONNECTION_LOG | CONNECTION_RULE)) | (j->flags & ENTRY_LOG ? CONNECTION_LOG : 0) |
		   (j->flags & ENTRY_RULE ? CONNECTION_RULE : 0);
	c->generation = s->generation;
}

/*
 * Policy cuts a connection that it allowed before. The entry stays, so that its packets keep meeting a verdict instead
 * of looking like a connection that is older than the hooks; it lives longer than that adoption lasts.
 */
static __always_inline void connection_deny(struct scene *s, struct connection *c, const struct judgement *j, int swapped)
{
	if (c->verdict != VERDICT_DENY)
		report_connection(s, c, EVENT_CLOSED, j->reason, swapped);
	connection_take(c, s, j);
	c->state = STATE_CLOSING;
	c->last_seen_ns = s->now_ns;
}

/* The address of the other end, whichever way the packet goes. */
static __always_inline const __u32 *peer_address(const struct scene *s)
{
	return s->direction == DIRECTION_EGRESS ? s->packet.destination : s->packet.source;
}

/* Egress to an address that will be translated is left to the after-DNAT hook (docs/adr/0005-egress-to-services.md). */
static __always_inline int is_service(const struct scene *s)
{
	struct service_key key = { .length = 32 + 128 + 8 + 8 + 16, .network = s->endpoint.network };

	if (s->packet.family == 4) {
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, s->packet.destination, 4);
	} else {
		__builtin_memcpy(key.address, s->packet.destination, 16);
	}
	key.protocol = s->packet.protocol;
	key.port_be = s->packet.destination_port_be;
	return bpf_map_lookup_elem(&services, &key) != 0;
}

/* A packet that no connection covers. */
static __always_inline int judge_new(struct scene *s, union connection_key *key, int source_low, const int v6)
{
	const struct packet *p = &s->packet;
	int handshake = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	int mid_stream = p->protocol == IPPROTO_TCP && !handshake;
	__u32 direction = s->direction;
	__u16 port = p->policy_port;
	struct connection *c = &s->fresh;
	struct judgement j = {};
	int swapped = 0;

	__builtin_memset(c, 0, sizeof(*c));
	c->protocol = p->protocol;
	c->network = s->endpoint.network;
	if (direction == DIRECTION_EGRESS && (s->control_flags & CONTROL_AFTER_DNAT) && p->protocol != IPPROTO_ICMP &&
	    p->protocol != IPPROTO_ICMPV6 && is_service(s)) {
		c->flags = CONNECTION_TRANSLATED | CONNECTION_PENDING;
		c->generation = s->generation;
		c->verdict = VERDICT_DENY;
		s->pass_mark = MARK_TRANSLATED;
	} else {
		judge(s, peer_address(s), direction, port, v6, &j);
		if (mid_stream && s->picking_up && j.verdict == VERDICT_DENY) {
			/* Older than the hooks: it may as well be the answer of a connection that goes the other way. */
			struct judgement other;

			judge(s, peer_address(s), !direction, bpf_ntohs(p->source_port_be), v6, &other);
			if (other.verdict != VERDICT_DENY) {
				j = other;
				direction = !direction;
				port = bpf_ntohs(p->source_port_be);
				swapped = 1;
			}
		} else if (j.verdict != VERDICT_DENY && p->protocol == IPPROTO_TCP && (p->tcp_flags & TCP_SYN) && (p->tcp_flags & TCP_ACK) &&
			   !s->picking_up) {
			/* A handshake's second step without its first: nobody asked. */
			struct policy_shape *shape;
			__u32 row = BANKED(s->bank, s->endpoint.slot);

			shape = bpf_map_lookup_elem(&policy_shapes, &row);
			if (shape && (direction ? shape->isolated[1] : shape->isolated[0])) {
				j.verdict = VERDICT_DENY;
				j.reason = REASON_STATE;
			}
		}
		if (j.verdict == VERDICT_DENY) {
			report_drop(s, &j, direction, 0, swapped);
			return DROP;
		}
		connection_take(c, s, &j);
	}

	if (p->protocol == IPPROTO_TCP && (p->tcp_flags & TCP_RST))
		return PASS; /* nothing will follow it */
	c->flags |= (direction == DIRECTION_EGRESS ? CONNECTION_EGRESS : 0) | (source_low != swapped ? CONNECTION_FORWARD_FROM_LOW : 0);
	if (mid_stream) {
		c->state = STATE_ESTABLISHED;
		if (s->picking_up)
			c->flags |= CONNECTION_ADOPTED;
	}
	c->policy_port = port;
	c->first_seen_ns = c->last_seen_ns = s->now_ns;
	c->packets[0] = !swapped;
	c->packets[1] = swapped;
	c->bytes[0] = swapped ? 0 : p->length;
	c->bytes[1] = swapped ? p->length : 0;
	c->tcp_flags[0] = swapped ? 0 : p->tcp_flags;
	c->tcp_flags[1] = swapped ? p->tcp_flags : 0;
	connection_store(key, c, v6);
	if (!(c->flags & CONNECTION_PENDING))
		report_connection(s, c, EVENT_NEW, c->verdict == VERDICT_AUDIT ? j.reason : REASON_NONE, swapped);
	return PASS;
}

/* A packet of a connection that the current generation denies. */
static __always_inline int drop_denied(struct scene *s, const struct connection *c, int is_reply)
{
	struct judgement j = {
		.verdict = VERDICT_DENY,
		.flags = c->flags & CONNECTION_LOG ? ENTRY_LOG : 0,
		.rule_id = c->rule_id,
		.identity = c->peer_identity,
		.reason = c->flags & CONNECTION_RULE ? REASON_POLICY_RULE : REASON_POLICY,
	};

	report_drop(s, &j, !!(c->flags & CONNECTION_EGRESS), 0, is_reply);
	return DROP;
}

/* The generation has moved since the verdict of this connection: asks the current policy about its forward direction. */
static __always_inline int judge_again(struct scene *s, struct connection *c, int is_reply, const int v6)
{
	struct loss_counters *loss = losses();
	__u32 direction = !!(c->flags & CONNECTION_EGRESS);
	struct judgement j;

	if (loss)
		loss->rejudged++;
	if (c->flags & CONNECTION_TRANSLATED) {
		__u32 backend[4];

		if (!is_reply)
			return PASS; /* the after-DNAT hook judges it */
		__builtin_memcpy(backend, c->backend, 16);
		judge(s, backend, DIRECTION_EGRESS, c->backend_port, v6, &j);
	} else {
		judge(s, peer_address(s), direction, c->policy_port, v6, &j);
		if (j.verdict == VERDICT_DENY && (c->flags & CONNECTION_ADOPTED)) {
			struct judgement other;
			__u16 port = bpf_ntohs(is_reply ? s->packet.destination_port_be : s->packet.source_port_be);

			judge(s, peer_address(s), !direction, port, v6, &other);
			if (other.verdict != VERDICT_DENY)
				j = other;
		}
	}
	if (j.verdict != VERDICT_DENY) {
		__u8 before = c->verdict;

		connection_take(c, s, &j);
		if (c->verdict != before)
			report_connection(s, c, EVENT_DELTA, j.reason, is_reply);
		return PASS;
	}
	connection_deny(s, c, &j, is_reply);
	report_drop(s, &j, direction, 0, is_reply);
	return DROP;
}

static __always_inline int judge_family(struct scene *s, const int v6)
{
	const struct packet *p = &s->packet;
	union connection_key key;
	int source_low = connection_key_of(p, s->endpoint.slot, v6, &key);
	struct connection *c = connection_find(&key, v6);

	if (c) {
		int handshake = p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
		int is_reply = source_low != !!(c->flags & CONNECTION_FORWARD_FROM_LOW);

		if (s->now_ns > c->last_seen_ns + connection_timeout_ns(c) || (handshake && c->state >= STATE_CLOSING)) {
			/* Too old, or its ports are used again: this packet opens a connection of its own. */
			report_connection(s, c, EVENT_CLOSED, REASON_NONE, is_reply);
			connection_remove(&key, v6);
			goto fresh;
		}
		if (is_reply && handshake) {
			/* Simultaneous open (RFC 9293 §3.5): the peer's own attempt is judged as what it is. */
			struct judgement j;

			judge(s, peer_address(s), s->direction, p->policy_port, v6, &j);
			if (j.verdict == VERDICT_DENY) {
				report_drop(s, &j, s->direction, 0, 0);
				return DROP;
			}
			return PASS;
		}
		if (is_reply && (c->flags & CONNECTION_PENDING)) {
			s->reason = REASON_STATE;
			return DROP;
		}
		if (c->flags & CONNECTION_TRANSLATED && !is_reply)
			s->pass_mark = MARK_TRANSLATED;
		if (c->generation != s->generation && judge_again(s, c, is_reply, v6) == DROP)
			return DROP;
		if (c->verdict == VERDICT_DENY && (is_reply || !(c->flags & CONNECTION_TRANSLATED)))
			return drop_denied(s, c, is_reply);
		connection_touch(c, s, is_reply);
		return PASS;
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
	struct judgement j;
	__u32 peer[4];
	__u16 port;

	connection_key_of(embedded, s->endpoint.slot, v6, &key);
	c = connection_find(&key, v6);
	if (!c || s->now_ns > c->last_seen_ns + connection_timeout_ns(c) || c->flags & CONNECTION_PENDING)
		return 0;
	if (c->generation == s->generation)
		return 1;
	/* The error's receiver sent the embedded packet, so its peer is that packet's destination; and the other way round. */
	__builtin_memcpy(peer, s->direction == DIRECTION_INGRESS ? embedded->destination : embedded->source, 16);
	port = c->policy_port;
	if (c->flags & CONNECTION_TRANSLATED) {
		__builtin_memcpy(peer, c->backend, 16);
		port = c->backend_port;
	}
	judge_protocol(s, peer, !!(c->flags & CONNECTION_EGRESS), c->protocol, port, v6, &j);
	return j.verdict != VERDICT_DENY;
}

#endif
