/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * DNS as workloads see it (RFC 1035 §4.1), for people: nothing is decided or parsed here. Answers to a workload's own
 * questions, and questions that policy drops, are copied to a ring of their own; user space reads the messages. Over TCP
 * (§4.2.2, RFC 7766) the message that begins a segment is seen: questions and answers do, unless they are sent many at once.
 */
#ifndef PALISADE_DNS_WATCH_H
#define PALISADE_DNS_WATCH_H

#define DNS_EVENT_HEADER __builtin_offsetof(struct dns_event, message)

struct dns_asked_key {
	union connection_key connection;
	__u16 id_be;
	__u16 reserved[3];
};
/* When a question left. The least recently used leave first; their answers then tell no latency. */
MAP(dns_asked, BPF_MAP_TYPE_LRU_HASH, 16384, struct dns_asked_key, __u64);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 << 10);
} dns_events SEC(".maps");

/* Where a message can be read: the packet, or the kernel's address of it. */
struct dns_source {
	struct __sk_buff *skb;
	__u64 linear;
	__u32 offset;
	__u32 length; /* of the message */
	__u32 here;   /* bytes of it in this packet */
};

static __always_inline int dns_read_bytes(const struct dns_source *from, void *to, __u32 size)
{
	if (from->skb)
		return bpf_skb_load_bytes(from->skb, from->offset, to, size);
	return bpf_probe_read_kernel(to, size, (const void *)(long)(from->linear + from->offset));
}

static __always_inline struct dns_event *dns_event_of(const struct dns_source *from, const __u32 size)
{
	struct dns_event *e = bpf_ringbuf_reserve(&dns_events, size, 0);
	__u32 kept = from->here;
	struct loss_counters *loss;

	if (!e) {
		loss = losses();
		if (loss)
			loss->ring_full++;
		return 0;
	}
	if (kept > size - DNS_EVENT_HEADER)
		kept = size - DNS_EVENT_HEADER;
	asm volatile("" : "+r"(kept)); /* keeps the bound on the register that the helper gets */
	if (kept < 1 || kept > size - DNS_EVENT_HEADER || dns_read_bytes(from, e->message, kept)) {
		bpf_ringbuf_discard(e, BPF_RB_NO_WAKEUP);
		return 0;
	}
	e->length = from->length;
	e->kept = kept;
	return e;
}

static __always_inline void dns_submit(struct dns_event *e)
{
	bpf_ringbuf_submit(e, bpf_ringbuf_query(&dns_events, BPF_RB_AVAIL_DATA) > RING_PRESSURE / 8 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

static __always_inline void dns_fill(struct dns_event *e, const struct scene *s, const struct connection *c, __u64 latency_ns)
{
	const struct packet *p = &s->packet;

	e->time_ns = s->now_ns;
	e->latency_ns = latency_ns;
	e->slot = s->endpoint.slot;
	e->ifindex = s->ifindex;
	e->family = p->family;
	e->flags = p->protocol == IPPROTO_TCP ? DNS_OVER_TCP : 0;
	e->backend_port = 0;
	__builtin_memset(e->backend, 0, sizeof(e->backend));
	/* The answer travels the other way. */
	__builtin_memcpy(e->client, c ? p->destination : p->source, 16);
	__builtin_memcpy(e->resolver, c ? p->source : p->destination, 16);
	e->client_port = bpf_ntohs(c ? p->destination_port_be : p->source_port_be);
	e->resolver_port = bpf_ntohs(c ? p->source_port_be : p->destination_port_be);
	if (!c) {
		e->kind = DNS_EVENT_REFUSED;
		e->verdict = VERDICT_DENY;
		e->peer_identity = s->judgement.identity;
		e->rule_id = s->judgement.rule_id;
		e->generation = s->generation;
		return;
	}
	e->kind = DNS_EVENT_ANSWER;
	e->verdict = c->verdict;
	e->peer_identity = c->peer_identity;
	e->rule_id = c->rule_id;
	e->generation = c->generation;
	if (c->flags & CONNECTION_TRANSLATED && c->backend_port) {
		e->flags |= DNS_TRANSLATED;
		__builtin_memcpy(e->backend, c->backend, 16);
		e->backend_port = c->backend_port;
	}
}

static __always_inline void dns_report(const struct dns_source *from, const struct scene *s, const struct connection *c, __u64 latency_ns)
{
	struct dns_event *e;

	if (from->here <= DNS_EVENT_SHORT - DNS_EVENT_HEADER) {
		e = dns_event_of(from, DNS_EVENT_SHORT);
		if (e) {
			dns_fill(e, s, c, latency_ns);
			dns_submit(e);
		}
		return;
	}
	e = dns_event_of(from, sizeof(*e));
	if (e) {
		dns_fill(e, s, c, latency_ns);
		dns_submit(e);
	}
}

/* Bytes of layer 4 before a message; 0: not of a kind that carries any. */
static __always_inline __u32 dns_preamble(const struct packet *p)
{
	if (p->protocol == IPPROTO_UDP)
		return 8;
	return p->protocol == IPPROTO_TCP && p->l4_header ? p->l4_header + 2 : 0;
}

static __always_inline int is_dns(const struct packet *p, __u32 direction)
{
	__u16 port_be = direction == DIRECTION_EGRESS ? p->destination_port_be : p->source_port_be;
	__u32 preamble;

	if (port_be != bpf_htons(DNS_PORT) || p->later_fragment)
		return 0;
	preamble = dns_preamble(p);
	return preamble && p->l4_length >= preamble + DNS_HEADER + 5;
}

/* A packet between the endpoint and port 53 of another end. `denied`: policy drops it. */
__noinline int dns_watch(struct __sk_buff *skb, struct scene *s, __u32 denied)
{
	struct dns_source from = { .skb = skb };
	struct dns_asked_key key = {};
	struct connection *c;
	__u64 now, *asked;
	int source_low, tcp;
	__u32 preamble;

	if (!s || !is_dns(&s->packet, s->direction))
		return 0;
	preamble = dns_preamble(&s->packet);
	tcp = s->packet.protocol == IPPROTO_TCP;
	from.offset = s->packet.l4_offset + preamble;
	from.length = from.here = s->packet.l4_length - preamble;
	if (tcp) {
		__u16 length_be;

		if (denied || bpf_skb_load_bytes(skb, from.offset - 2, &length_be, sizeof(length_be)) || bpf_ntohs(length_be) < DNS_HEADER + 5)
			return 0;
		from.length = bpf_ntohs(length_be);
		if (from.here > from.length)
			from.here = from.length;
	}
	if (denied) {
		if (s->direction == DIRECTION_EGRESS)
			dns_report(&from, s, 0, 0);
		return 0;
	}
	if (bpf_skb_load_bytes(skb, from.offset, &key.id_be, sizeof(key.id_be)))
		return 0;
	if (s->packet.family == 6) {
		source_low = connection_key_of(&s->packet, s->endpoint.slot, 1, &key.connection);
		c = connection_find(&key.connection, 1);
	} else {
		source_low = connection_key_of(&s->packet, s->endpoint.slot, 0, &key.connection);
		c = connection_find(&key.connection, 0);
	}
	/* The endpoint asks: its own connection, seen from its end. */
	if (!c || !(c->flags & CONNECTION_EGRESS))
		return 0;
	now = bpf_ktime_get_ns();
	if (source_low == !!(c->flags & CONNECTION_FORWARD_FROM_LOW)) {
		bpf_map_update_elem(&dns_asked, &key, &now, BPF_ANY);
		return 0;
	}
	asked = bpf_map_lookup_elem(&dns_asked, &key);
	if (tcp && !asked)
		return 0; /* the middle of something */
	dns_report(&from, s, c, asked ? now - *asked : 0);
	if (asked)
		bpf_map_delete_elem(&dns_asked, &key);
	return 0;
}

/* Learns from a packet and tells of it, where it is DNS. `scratch`: the row of this kind of program. */
static __always_inline void dns_see(struct __sk_buff *skb, struct scene *s, int denied, __u32 scratch)
{
	if (!is_dns(&s->packet, s->direction))
		return;
	if (s->packet.protocol == IPPROTO_UDP && !denied && s->control_flags & CONTROL_NAMES)
		dns_learn(skb, s, scratch);
	dns_watch(skb, s, denied);
}

/* Tells of a question that is dropped where no helper reads packets, see dns_ask_linear. */
static __always_inline void dns_watch_refused(struct scene *s, __u64 linear, __u32 limit)
{
	__u32 length = s->packet.l4_length - 8;
	struct dns_source from = { .linear = linear, .offset = s->packet.l4_offset + 8, .length = length, .here = length };

	if (!s->packet.later_fragment && s->packet.l4_length >= 8 + DNS_HEADER + 5 && from.offset <= 0x3fff && from.offset + from.length <= limit)
		dns_report(&from, s, 0, 0);
}

#endif
