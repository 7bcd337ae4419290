/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Counters and events. Nothing is lost silently: what finds no room in the ring is counted and leaves a gap in `sequence`. */
#ifndef PALISADE_ACCOUNTING_H
#define PALISADE_ACCOUNTING_H

static __always_inline struct loss_counters *losses(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&loss_counters, &zero);
}

static __always_inline void count_packet(const struct scene *s, int passes, int audited)
{
	__u32 slot = s->endpoint.slot;
	struct endpoint_counters *c = bpf_map_lookup_elem(&endpoint_counters, &slot);

	if (!c)
		return;
	if (passes) {
		c->forwarded_packets++;
		c->forwarded_bytes += s->packet.length;
		if (audited)
			c->audited_packets++;
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

/*
 * `c`: counters and backend, where there is a connection. Not 0: there was no room, the event is lost and counted (a
 * connection's counters stay for its next event). Global functions are verified once, whoever calls them.
 */
__noinline int report_flow(struct scene *s, struct report *r, struct connection *c)
{
	struct loss_counters *loss = losses();
	const struct packet *p;
	struct flow_event *e;
	struct process *process;
	__u64 sequence, cookie;

	if (!loss || !s || !r)
		return 0;
	p = &s->packet;
	sequence = loss->events++;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		loss->ring_full++;
		return -1;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = s->now_ns;
	e->sequence = sequence;
	if (r->swapped) {
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
	e->slot = s->endpoint.slot;
	e->kind = r->kind;
	e->family = p->family;
	e->protocol = p->protocol;
	e->direction = r->direction;
	e->verdict = r->verdict;
	e->drop_reason = r->reason;
	e->flags = r->flags;
	e->tcp_flags = p->tcp_flags;
	e->ifindex = s->ifindex;
	e->cpu = bpf_get_smp_processor_id();
	e->peer_identity = r->peer_identity;
	e->rule_id = r->rule_id;
	e->generation = s->generation;
	e->shadow_rule_id = r->shadow_rule_id;
	e->shadow_verdict = r->shadow_verdict;
	e->first_seen_ns = s->now_ns;
	cookie = c ? c->socket_cookie : s->socket_cookie;
	process = cookie ? bpf_map_lookup_elem(&processes, &cookie) : 0;
	if (process) {
		e->pid = process->pid;
		e->uid = process->uid;
		__builtin_memcpy(e->command, process->command, sizeof(e->command));
	}
	if (c) {
		e->first_seen_ns = c->first_seen_ns;
		if (r->kind != EVENT_DROPPED) {
			/* Events tell what is new since the last one; sums of a connection's events are its counters. */
			e->packets = (__u32)c->packets[0] - c->exported_packets[0];
			e->reply_packets = (__u32)c->packets[1] - c->exported_packets[1];
			e->bytes = c->bytes[0] - c->exported_bytes[0];
			e->reply_bytes = c->bytes[1] - c->exported_bytes[1];
			c->exported_packets[0] += e->packets;
			c->exported_packets[1] += e->reply_packets;
			c->exported_bytes[0] += e->bytes;
			c->exported_bytes[1] += e->reply_bytes;
		} else {
			e->packets = 1;
			e->bytes = p->length;
		}
		if (c->flags & CONNECTION_TRANSLATED && c->backend_port) {
			e->flags |= FLOW_TRANSLATED;
			__builtin_memcpy(e->original_destination, e->destination, 16);
			e->original_port = e->destination_port;
			__builtin_memcpy(e->destination, c->backend, 16);
			e->destination_port = c->backend_port;
		}
	} else {
		e->packets = 1;
		e->bytes = p->length;
	}
	bpf_ringbuf_submit(e, bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > RING_PRESSURE ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}

#endif
