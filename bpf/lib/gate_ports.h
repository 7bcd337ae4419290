/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The HTTP gate's two connections, the client's and its own to the server, have the same addresses. A port of its own keeps them
 * apart for whoever tracks connections by their ends (conntrack), and can be computed both ways, so that here they stay one.
 */
#ifndef PALISADE_GATE_PORTS_H
#define PALISADE_GATE_PORTS_H

/* The gate's port for a client's, and the client's for the gate's. */
static __always_inline __u16 other_gate_port_be(__u16 port_be)
{
	__u16 port = bpf_ntohs(port_be);

	if (port < GATE_PORT_FIRST || port > GATE_PORT_LAST)
		return port_be;
	return bpf_htons(port < GATE_PORT_MIDDLE ? port + GATE_PORT_SHIFT : port - GATE_PORT_SHIFT);
}

/* What the gate sends to a server. */
static __always_inline int from_gate(const struct scene *s)
{
	return s->gate_mark == MARK_GATE_UP && s->direction == DIRECTION_INGRESS;
}

/*
 * The connection that a server's packet to the gate belongs to, if there is one. The packet in the scene is then told under the
 * client's port; s->wire_port_be keeps the one that it has.
 */
static __always_inline struct connection *connection_through_gate(struct scene *s, union connection_key *key, int *source_low, const int v6)
{
	struct packet *p = &s->packet;
	__u16 port_be = p->destination_port_be;
	struct connection *c;

	if (p->protocol != IPPROTO_TCP || !(s->control_flags & CONTROL_GATE) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return 0;
	p->destination_port_be = other_gate_port_be(port_be);
	*source_low = connection_key_of(p, s->endpoint.slot, v6, key);
	c = connection_find(key, v6);
	if (c && (c->through_gate || c->flags & CONNECTION_STEERED) && *source_low != !!(c->flags & CONNECTION_FORWARD_FROM_LOW)) {
		s->wire_port_be = port_be;
		return c;
	}
	p->destination_port_be = port_be;
	*source_low = connection_key_of(p, s->endpoint.slot, v6, key);
	return 0;
}

#endif
