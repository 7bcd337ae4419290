/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Counters of living connections, told in steps: a walk over the connection tables writes one event for each
 * connection that has moved since its last event, and takes out those that have ended. What finds no room in the ring
 * stays for the next run, so nothing is lost and an agent that restarts continues where the last one stopped.
 */
#ifndef PALISADE_EXPORT_H
#define PALISADE_EXPORT_H

/* A closed TCP connection is kept this long for stray segments. */
#define LINGER_NS (2 * SECONDS)

static __always_inline void scene_of_key(struct scene *s, const union connection_key *key, const struct connection *c, const int v6)
{
	int forward_low = !!(c->flags & CONNECTION_FORWARD_FROM_LOW);
	struct packet *p = &s->packet;

	__builtin_memset(p, 0, sizeof(*p));
	p->family = v6 ? 6 : 4;
	if (v6) {
		__builtin_memcpy(p->source, forward_low ? key->v6.low : key->v6.high, 16);
		__builtin_memcpy(p->destination, forward_low ? key->v6.high : key->v6.low, 16);
		p->source_port_be = forward_low ? key->v6.low_port_be : key->v6.high_port_be;
		p->destination_port_be = forward_low ? key->v6.high_port_be : key->v6.low_port_be;
		s->endpoint.slot = key->v6.slot;
	} else {
		p->source[0] = forward_low ? key->v4.low : key->v4.high;
		p->destination[0] = forward_low ? key->v4.high : key->v4.low;
		p->source_port_be = forward_low ? key->v4.low_port_be : key->v4.high_port_be;
		p->destination_port_be = forward_low ? key->v4.high_port_be : key->v4.low_port_be;
		s->endpoint.slot = key->v4.slot;
	}
	p->protocol = c->protocol;
	p->tcp_flags = c->tcp_flags[0] | c->tcp_flags[1];
	s->generation = c->generation;
}

struct bpf_map;

struct export_run {
	struct scene *scene;
	struct loss_counters *loss;
	__u64 now_ns;
	__u32 epoch;
	__u32 full;
};

/* 1 stops the walk: the ring is full, the rest comes with the next run of the same epoch. */
static __always_inline long export_connection(const void *key_buffer, struct connection *c, struct export_run *run, const int v6)
{
	union connection_key key = {};
	struct scene *s = run->scene;
	int moved, ended;
	__u64 idle;

	run->loss->iterated++;
	if (c->exported_epoch == run->epoch)
		return 0;
	idle = run->now_ns > c->last_seen_ns ? run->now_ns - c->last_seen_ns : 0;
	ended = idle > connection_timeout_ns(c) || (c->state == STATE_CLOSED && idle > LINGER_NS);
	moved = c->packets[0] != c->exported_packets[0] || c->packets[1] != c->exported_packets[1];
	if (!ended && !moved)
		return 0;
	if (v6)
		__builtin_memcpy(&key.v6, key_buffer, sizeof(key.v6));
	else
		__builtin_memcpy(&key.v4, key_buffer, sizeof(key.v4));
	s->now_ns = c->last_seen_ns;
	s->ifindex = 0;
	scene_of_key(s, &key, c, v6);
	/* What was denied has told its drops one by one; what is pending has not begun. */
	if (c->verdict != VERDICT_DENY && report_connection(s, c, ended ? EVENT_CLOSED : EVENT_DELTA, REASON_NONE, 0)) {
		event_late(run->loss);
		run->full = 1;
		return 1;
	}
	c->exported_epoch = run->epoch;
	if (ended)
		connection_remove(&key, v6);
	return 0;
}

static long export4(struct bpf_map *map, const void *key, struct connection *c, struct export_run *run)
{
	(void)map;
	return export_connection(key, c, run, 0);
}

static long export6(struct bpf_map *map, const void *key, struct connection *c, struct export_run *run)
{
	(void)map;
	return export_connection(key, c, run, 1);
}

/* What repeated denials have counted, and denials that repeat no more. */
static long export_denial(struct bpf_map *map, const void *key_buffer, struct denial *d, struct export_run *run)
{
	struct denial_key key;
	int ended;

	(void)map;
	if (d->exported_epoch == run->epoch)
		return 0;
	ended = run->now_ns > d->last_seen_ns + DENIAL_LIFETIME;
	__builtin_memcpy(&key, key_buffer, sizeof(key));
	if (d->packets != d->told_packets && denial_tell(run->scene, &key, d)) {
		event_late(run->loss);
		run->full = 1;
		return 1;
	}
	d->exported_epoch = run->epoch;
	if (ended)
		bpf_map_delete_elem(&denials, &key);
	return 0;
}

/*
 * Never attached: user space runs it (BPF_PROG_TEST_RUN) with an arbitrary frame. Map iterators would do the same but are
 * refused on locked-down kernels. Returns 1 while there is more to tell than the ring had room for.
 */
SEC("tc")
int export_connections(struct __sk_buff *skb)
{
	__u32 row = SCENE_EXPORT, zero = 0;
	struct control *state = bpf_map_lookup_elem(&control, &zero);
	struct export_run run = { .scene = bpf_map_lookup_elem(&scenes, &row), .loss = losses(), .now_ns = bpf_ktime_get_ns() };

	(void)skb;
	if (!run.scene || !run.loss || !state)
		return 0;
	run.epoch = state->export_epoch;
	bpf_for_each_map_elem(&connections4, export4, &run, 0);
	if (!run.full)
		bpf_for_each_map_elem(&connections6, export6, &run, 0);
	if (!run.full)
		bpf_for_each_map_elem(&denials, export_denial, &run, 0);
	return run.full;
}

#endif
