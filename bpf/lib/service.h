/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Addresses that are translated on the way: what is known of them, and what must be done before (foresee.h). */
#ifndef PALISADE_SERVICE_H
#define PALISADE_SERVICE_H

/* struct scene.foreseen */
#define FORESEEN_NOTHING 1
#define FORESEEN_GATE 2    /* its connection goes through the HTTP gate */
#define FORESEEN_SOFT 3    /* it may come under soft rules */
#define FORESEEN_REFUSED 4 /* whichever backend it would get: under s->judgement, which is about s->backend */
#define FORESEEN_AWAITED 5 /* it comes from a service's backend, and the HTTP gate waits for it */

/* Egress to an address that will be translated is left to the after-DNAT hook (docs/adr/0005-egress-to-services.md). */
static __always_inline struct service *service_of(const struct scene *s)
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
	return bpf_map_lookup_elem(&services, &key);
}

/* A packet to a service that something must be done about before it is translated. */
static __always_inline int must_foresee(const struct scene *s, const struct service *service)
{
	const struct packet *p = &s->packet;

	return service->kinds && !s->foreseen && s->may_steer & MAY_STEER &&
	       (p->protocol == IPPROTO_TCP || (p->protocol == IPPROTO_UDP && p->destination_port_be == bpf_htons(DNS_PORT)));
}

#endif
