/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Later fragments carry no ports: they follow the first fragment of their datagram. */
#ifndef PALISADE_FRAGMENT_H
#define PALISADE_FRAGMENT_H

#define FRAGMENT_LIFETIME_NS (60 * SECONDS) /* RFC 8200 §4.5 */

static __always_inline void fragment_key_of(const struct scene *s, struct fragment_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	__builtin_memcpy(key->source, s->packet.source, 16);
	__builtin_memcpy(key->destination, s->packet.destination, 16);
	key->id = s->packet.fragment_id;
	key->slot = s->endpoint.slot;
	/* IPv6: the header after a later fragment's fragment header need not be the transport's. */
	key->protocol = s->packet.family == 4 ? s->packet.protocol : 0;
	key->direction = s->direction;
}

static __noinline int fragment_remember(struct scene *s)
{
	struct fragment_key key;
	struct fragment value = {
		.source_port_be = s->packet.source_port_be,
		.destination_port_be = s->packet.destination_port_be,
		.policy_port = s->packet.policy_port,
		.sense = s->packet.sense,
		.protocol = s->packet.protocol,
		.seen_ns = s->now_ns,
	};

	fragment_key_of(s, &key);
	return bpf_map_update_elem(&fragments, &key, &value, BPF_ANY);
}

/* Fills in the ports of a later fragment. Not 0: its first fragment was not seen, or did not pass. */
static __noinline int fragment_recall(struct scene *s)
{
	struct fragment_key key;
	struct fragment *first;

	fragment_key_of(s, &key);
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || s->now_ns - first->seen_ns > FRAGMENT_LIFETIME_NS)
		return -1;
	s->packet.source_port_be = first->source_port_be;
	s->packet.destination_port_be = first->destination_port_be;
	s->packet.policy_port = first->policy_port;
	s->packet.sense = first->sense;
	s->packet.protocol = first->protocol;
	return 0;
}

#endif
