/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Connection tracking: one entry per connection and endpoint, found from either direction. */
#ifndef PALISADE_CONNECTION_H
#define PALISADE_CONNECTION_H

union connection_key {
	struct connection_key4 v4;
	struct connection_key6 v6;
};

/* Orders the two ends, so that both directions give one key. Returns whether the source is the lower end. */
static __always_inline int order_ends4(struct connection_key4 *key, __u32 source, __u32 destination, __u16 source_port_be, __u16 destination_port_be)
{
	int source_low = source < destination || (source == destination && source_port_be <= destination_port_be);

	key->low = source_low ? source : destination;
	key->high = source_low ? destination : source;
	key->low_port_be = source_low ? source_port_be : destination_port_be;
	key->high_port_be = source_low ? destination_port_be : source_port_be;
	return source_low;
}

static __always_inline int order_ends6(struct connection_key6 *key, const __u32 *source, const __u32 *destination, __u16 source_port_be,
				       __u16 destination_port_be)
{
	int source_low;

	if (source[0] != destination[0])
		source_low = source[0] < destination[0];
	else if (source[1] != destination[1])
		source_low = source[1] < destination[1];
	else if (source[2] != destination[2])
		source_low = source[2] < destination[2];
	else if (source[3] != destination[3])
		source_low = source[3] < destination[3];
	else
		source_low = source_port_be <= destination_port_be;
	__builtin_memcpy(key->low, source_low ? source : destination, 16);
	__builtin_memcpy(key->high, source_low ? destination : source, 16);
	key->low_port_be = source_low ? source_port_be : destination_port_be;
	key->high_port_be = source_low ? destination_port_be : source_port_be;
	return source_low;
}

static __always_inline int connection_key_of(const struct packet *p, __u16 slot, const int v6, union connection_key *key)
{
	if (v6) {
		key->v6.slot = slot;
		key->v6.protocol = p->protocol;
		key->v6.sense = p->sense;
		return order_ends6(&key->v6, p->source, p->destination, p->source_port_be, p->destination_port_be);
	}
	key->v4.slot = slot;
	key->v4.protocol = p->protocol;
	key->v4.sense = p->sense;
	return order_ends4(&key->v4, p->source[0], p->destination[0], p->source_port_be, p->destination_port_be);
}

static __always_inline struct connection *connection_find(union connection_key *key, const int v6)
{
	return v6 ? bpf_map_lookup_elem(&connections6, &key->v6) : bpf_map_lookup_elem(&connections4, &key->v4);
}

static __always_inline int connection_store(union connection_key *key, const struct connection *c, const int v6)
{
	struct loss_counters *loss = losses();
	int failed = v6 ? bpf_map_update_elem(&connections6, &key->v6, c, BPF_ANY) : bpf_map_update_elem(&connections4, &key->v4, c, BPF_ANY);

	if (loss) {
		if (failed)
			loss->table_full++;
		else
			loss->connections_created++;
	}
	return failed;
}

static __always_inline void connection_remove(union connection_key *key, const int v6)
{
	struct loss_counters *loss = losses();
	int failed = v6 ? bpf_map_delete_elem(&connections6, &key->v6) : bpf_map_delete_elem(&connections4, &key->v4);

	if (loss && !failed)
		loss->connections_deleted++;
}

static __always_inline __u64 connection_timeout_ns(const struct connection *c)
{
	if (c->protocol == IPPROTO_TCP) {
		if (c->state == STATE_ESTABLISHED)
			return TIMEOUT_TCP_ESTABLISHED;
		if (c->state == STATE_CLOSING)
			return TIMEOUT_TCP_CLOSING;
		return c->state == STATE_NEW ? TIMEOUT_TCP_NEW : TIMEOUT_TCP_CLOSED;
	}
	if (c->protocol == IPPROTO_UDP || c->protocol == PROTOCOL_SCTP)
		return c->state == STATE_NEW ? TIMEOUT_UDP_NEW : TIMEOUT_UDP_ESTABLISHED;
	return TIMEOUT_OTHER;
}

/*
 * One way around both ends: from the SYN to the first segment after the handshake. A SYN that was sent again leaves it open
 * which one was answered (Karn's algorithm, RFC 6298 §3), so nothing is measured then.
 */
static __always_inline void connection_time(struct connection *c, __u8 flags, int is_reply)
{
	if (is_reply || !c->timed)
		return;
	if (c->state == STATE_ESTABLISHED && (flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK) {
		__u32 elapsed = (__u32)(bpf_ktime_get_ns() / 1000) - c->handshake_us;

		c->rtt_us = elapsed ? elapsed : 1;
	}
	c->timed = 0;
}

/* Moves the state. A function of its own, so that the packets which move nothing do not carry its code. */
static __noinline int connection_move(struct connection *c, __u32 protocol, __u32 flags, __u32 is_reply)
{
	if (protocol != IPPROTO_TCP) {
		if (is_reply && c->state == STATE_NEW)
			c->state = STATE_ESTABLISHED;
		return 0;
	}
	connection_time(c, flags, is_reply);
	if (is_reply)
		c->tcp_flags[1] |= flags;
	else
		c->tcp_flags[0] |= flags;
	if (flags & TCP_RST)
		c->state = STATE_CLOSED;
	else if (c->tcp_flags[0] & c->tcp_flags[1] & TCP_FIN)
		c->state = c->state == STATE_CLOSING && !(flags & TCP_FIN) ? STATE_CLOSED : c->state == STATE_CLOSED ? STATE_CLOSED : STATE_CLOSING;
	else if (flags & TCP_FIN)
		c->state = STATE_CLOSING;
	else if (is_reply && c->state == STATE_NEW)
		c->state = STATE_ESTABLISHED;
	return 0;
}

/*
 * Counts a packet of `length` bytes and moves the state. Both directions may run at once on different processors: counters are
 * atomic, and what seldom changes is written only then, because the line is shared.
 */
static __always_inline void connection_touch(struct connection *c, __u8 protocol, __u8 flags, __u32 length, __u64 now_ns, int is_reply)
{
	__u8 seen = is_reply ? c->tcp_flags[1] : c->tcp_flags[0];

	if (c->last_seen_ns != now_ns)
		c->last_seen_ns = now_ns;
	if (is_reply) {
		__sync_fetch_and_add(&c->packets[1], 1);
		__sync_fetch_and_add(&c->bytes[1], length);
	} else {
		__sync_fetch_and_add(&c->packets[0], 1);
		__sync_fetch_and_add(&c->bytes[0], length);
	}
	/* An established connection whose FIN or RST has been seen is none any more. */
	if (c->state != STATE_ESTABLISHED || c->timed || flags & ~seen)
		connection_move(c, protocol, flags, is_reply);
}

#endif
