/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Denied packets: the first of a tuple under a verdict is an event, its repetitions are counted in a hash and told by the
 * export. A flood of one denied tuple costs a counter instead of the ring.
 */
#ifndef PALISADE_DENIAL_H
#define PALISADE_DENIAL_H

#define DENIALS_FULL 7 /* E2BIG: a hash without room; EEXIST would be another processor that was faster */

static __always_inline void denial_key_of(const struct flow_event *e, struct denial_key *key)
{
	__builtin_memcpy(key->source, e->source, 16);
	__builtin_memcpy(key->destination, e->destination, 16);
	key->source_port = e->source_port;
	key->destination_port = e->destination_port;
	key->slot = e->slot;
	key->family = e->family;
	key->protocol = e->protocol;
	key->rule_id = e->rule_id;
	key->generation = e->generation;
	key->drop_reason = e->drop_reason;
	key->direction = e->direction;
	key->flags = e->flags;
	key->shadow_verdict = e->flags & FLOW_SHADOW ? e->shadow_verdict : 0;
	key->shadow_rule_id = e->flags & FLOW_SHADOW ? e->shadow_rule_id : 0;
}

/* Several processors may meet one tuple at once: counters are atomic. */
static __always_inline int denial_count(const struct denial_key *key, const struct flow_event *e)
{
	struct denial *d = bpf_map_lookup_elem(&denials, key);

	if (!d)
		return 0;
	__sync_fetch_and_add(&d->packets, 1);
	__sync_fetch_and_add(&d->bytes, e->bytes);
	if (d->last_seen_ns != e->time_ns)
		d->last_seen_ns = e->time_ns;
	if ((d->tcp_flags | e->tcp_flags) != d->tcp_flags)
		d->tcp_flags |= e->tcp_flags;
	return 1;
}

static __always_inline void told_drops(__u32 slot, __u64 packets)
{
	struct endpoint_counters *totals = counters_of(slot);

	if (totals)
		totals->told_drops += packets;
}

/* An event that found no room is told later: nothing is lost, and its number is the next one's. */
static __always_inline void event_late(struct loss_counters *loss)
{
	loss->ring_full--;
	loss->events--;
}

static __always_inline void denial_of(const struct flow_event *e, __u64 socket_cookie, int lost, struct denial *d)
{
	__builtin_memset(d, 0, sizeof(*d));
	d->socket_cookie = socket_cookie;
	d->last_seen_ns = e->time_ns;
	d->packets = 1;
	d->bytes = e->bytes;
	d->told_packets = !lost;
	d->told_bytes = lost ? 0 : e->bytes;
	d->peer_identity = e->peer_identity;
	d->ifindex = e->ifindex;
	d->tcp_flags = e->tcp_flags;
	if (e->flags & FLOW_TRANSLATED) {
		d->original_port = e->original_port;
		__builtin_memcpy(d->original_destination, e->original_destination, 16);
	}
}

/* `c`: the connection that the packet belongs to, for its backend and socket; 0 where there is none. */
__noinline int report_denial(struct scene *s, struct report *r, struct connection *c)
{
	struct loss_counters *loss = losses();
	__u32 size = FLOW_EVENT_SHORT;
	struct flow_event *e;
	int lost, full;
	__u64 cookie;

	if (!s || !r || !loss)
		return 0;
	e = event_open(s, r);
	event_ends(e, s, r->swapped, c);
	if (c)
		size = event_translation(e, c);
	denial_key_of(e, &s->denial_key);
	if (denial_count(&s->denial_key, e))
		return 0;

	cookie = c ? c->socket_cookie : s->socket_cookie;
	lost = event_submit(e, event_process(e, cookie, size));
	denial_of(e, cookie, lost, &s->denial);
	full = bpf_map_update_elem(&denials, &s->denial_key, &s->denial, BPF_NOEXIST);
	if (!lost)
		told_drops(e->slot, 1);
	else if (!full || denial_count(&s->denial_key, e))
		event_late(loss);
	if (full == -DENIALS_FULL)
		loss->denials_full++;
	return 0;
}

/* Tells what has been counted since the last event. Not 0: the ring is full. */
static __always_inline int denial_tell(struct scene *s, const struct denial_key *key, struct denial *d)
{
	struct flow_event *e = &s->event;
	__u64 packets = d->packets - d->told_packets, bytes = d->bytes - d->told_bytes;
	__u32 size = FLOW_EVENT_SHORT;

	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = e->first_seen_ns = d->last_seen_ns;
	e->packets = packets;
	e->bytes = bytes;
	__builtin_memcpy(e->source, key->source, 16);
	__builtin_memcpy(e->destination, key->destination, 16);
	e->source_port = key->source_port;
	e->destination_port = key->destination_port;
	e->ifindex = d->ifindex;
	e->peer_identity = d->peer_identity;
	e->rule_id = key->rule_id;
	e->generation = key->generation;
	e->shadow_rule_id = key->shadow_rule_id;
	e->slot = key->slot;
	e->kind = EVENT_DROPPED;
	e->family = key->family;
	e->protocol = key->protocol;
	e->direction = key->direction;
	e->verdict = VERDICT_DENY;
	e->drop_reason = key->drop_reason;
	e->flags = key->flags;
	e->tcp_flags = d->tcp_flags;
	e->shadow_verdict = key->shadow_verdict;
	if (key->flags & FLOW_TRANSLATED) {
		e->original_port = d->original_port;
		__builtin_memcpy(e->original_destination, d->original_destination, 16);
		size = sizeof(*e);
	}
	if (event_submit(e, event_process(e, d->socket_cookie, size)))
		return -1;
	d->told_packets += packets;
	d->told_bytes += bytes;
	told_drops(key->slot, packets);
	return 0;
}

#endif
