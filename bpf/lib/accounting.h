/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Counters and events. Nothing is lost silently: what finds no room in the ring is counted and leaves a gap in `sequence`. */
#ifndef PALISADE_ACCOUNTING_H
#define PALISADE_ACCOUNTING_H

static __always_inline struct loss_counters *losses(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&loss_counters, &zero);
}

static __always_inline struct endpoint_counters *counters_of(__u32 slot)
{
	return bpf_map_lookup_elem(&endpoint_counters, &slot);
}

static __always_inline void count_packet(const struct scene *s, int passes, int audited)
{
	struct endpoint_counters *c = counters_of(s->endpoint.slot);

	if (!c)
		return;
	if (passes) {
		c->forwarded_packets++;
		c->forwarded_bytes += s->packet.length;
		if (audited)
			c->audited_packets++;
		if (!s->tracked)
			c->untracked_packets++;
	} else {
		c->dropped_packets++;
		c->dropped_bytes += s->packet.length;
	}
}

/* What an event says beyond the packet itself. */
struct report {
	__u8 kind;
	__u8 verdict;
	__u8 reason;
	__u8 flags;
	__u8 direction;
	__u8 shadow_verdict;
	__u16 reserved;
	__u32 rule_id;
	__u32 peer_identity;
	__u32 shadow_rule_id;
	__u32 swapped; /* the packet is a reply, the event tells the forward direction */
};

/* Readers poll on a timer; they are woken early only when the ring runs full (default wake-ups cost a third of CRR). */
#define RING_PRESSURE (1 << 20)

/* Not 0: no room, the event is lost and counted. Sizes are multiples of eight. */
static __always_inline int event_submit(struct flow_event *e, __u32 size)
{
	struct loss_counters *loss = losses();
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!loss)
		return -1;
	e->sequence = loss->events++;
	e->cpu = bpf_get_smp_processor_id();
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > RING_PRESSURE)
		flags = BPF_RB_FORCE_WAKEUP;
	if (!bpf_ringbuf_output(&events, e, size, flags))
		return 0;
	loss->ring_full++;
	return -1;
}

/* Whose socket it was. Returns the bytes that the event needs now. */
static __always_inline __u32 event_process(struct flow_event *e, __u64 cookie, __u32 size)
{
	struct process *process = cookie ? bpf_map_lookup_elem(&processes, &cookie) : 0;

	if (!process)
		return size;
	if (size == FLOW_EVENT_SHORT)
		__builtin_memset((void *)e + FLOW_EVENT_SHORT, 0, sizeof(*e) - FLOW_EVENT_SHORT);
	e->pid = process->pid;
	e->uid = process->uid;
	e->cgroup_id = process->cgroup_id;
	__builtin_memcpy(e->command, process->command, sizeof(e->command));
	return sizeof(*e);
}

static __always_inline void event_ends(struct flow_event *e, const struct scene *s, int swapped, const struct connection *c)
{
	const struct packet *p = &s->packet;

	if (swapped) {
		__builtin_memcpy(e->source, p->destination, 16);
		__builtin_memcpy(e->destination, p->source, 16);
		e->source_port = bpf_ntohs(p->destination_port_be);
		e->destination_port = bpf_ntohs(p->source_port_be);
	} else {
		__builtin_memcpy(e->source, p->source, 16);
		__builtin_memcpy(e->destination, p->destination, 16);
		e->source_port = bpf_ntohs(p->source_port_be);
		e->destination_port = bpf_ntohs(p->destination_port_be);
	}
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		e->source_port = 0;
		e->destination_port = c ? c->policy_port : p->policy_port;
	}
}

/* Where the connection was translated on its way: its destination is the backend. Returns the bytes that the event needs. */
static __always_inline __u32 event_translation(struct flow_event *e, const struct connection *c)
{
	if (!(c->flags & CONNECTION_TRANSLATED) || !c->backend_port)
		return FLOW_EVENT_SHORT;
	__builtin_memset((void *)e + FLOW_EVENT_SHORT, 0, sizeof(*e) - FLOW_EVENT_SHORT);
	e->flags |= FLOW_TRANSLATED;
	__builtin_memcpy(e->original_destination, e->destination, 16);
	e->original_port = e->destination_port;
	__builtin_memcpy(e->destination, c->backend, 16);
	e->destination_port = c->backend_port;
	return sizeof(*e);
}

/* Events tell what is new since the last one; sums of a connection's events are its counters. */
static __always_inline void event_counters(struct flow_event *e, const struct connection *c)
{
	e->packets = c->packets[0] - c->exported_packets[0];
	e->reply_packets = c->packets[1] - c->exported_packets[1];
	e->bytes = c->bytes[0] - c->exported_bytes[0];
	e->reply_bytes = c->bytes[1] - c->exported_bytes[1];
	e->first_seen_ns = c->first_seen_ns;
	e->rtt_us = c->rtt_us;
}

static __always_inline void event_told(const struct flow_event *e, struct connection *c)
{
	struct endpoint_counters *totals = counters_of(e->slot);

	c->exported_packets[0] += e->packets;
	c->exported_packets[1] += e->reply_packets;
	c->exported_bytes[0] += e->bytes;
	c->exported_bytes[1] += e->reply_bytes;
	if (totals)
		totals->told_packets += e->packets + e->reply_packets;
}

/* Everything but ends and counters; those of one packet until the caller says otherwise. */
static __always_inline struct flow_event *event_open(struct scene *s, const struct report *r)
{
	struct flow_event *e = &s->event;
	const struct packet *p = &s->packet;

	e->time_ns = e->first_seen_ns = s->now_ns;
	e->packets = 1;
	e->bytes = p->length;
	e->reply_packets = e->reply_bytes = 0;
	e->ifindex = s->ifindex;
	e->peer_identity = r->peer_identity;
	e->rule_id = r->rule_id;
	e->generation = s->generation;
	e->shadow_rule_id = r->shadow_rule_id;
	e->rtt_us = 0;
	e->slot = s->endpoint.slot;
	e->kind = r->kind;
	e->family = p->family;
	e->protocol = p->protocol;
	e->direction = r->direction;
	e->verdict = r->verdict;
	e->drop_reason = r->reason;
	e->flags = r->flags;
	e->tcp_flags = p->tcp_flags;
	e->shadow_verdict = r->shadow_verdict;
	e->reserved[0] = e->reserved[1] = e->reserved[2] = 0;
	return e;
}

/*
 * Tells about a connection. Not 0: there was no room, the event is lost and counted; the connection's counters stay for its
 * next event. Global functions are verified once, whoever calls them.
 */
__noinline int report_flow(struct scene *s, struct report *r, struct connection *c)
{
	struct flow_event *e;
	__u32 size;

	if (!s || !r || !c)
		return 0;
	e = event_open(s, r);
	event_ends(e, s, r->swapped, c);
	event_counters(e, c);
	size = event_process(e, c->socket_cookie, event_translation(e, c));
	if (event_submit(e, size))
		return -1;
	event_told(e, c);
	return 0;
}

#endif
