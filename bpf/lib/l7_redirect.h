/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Connections that a rule on HTTP selects go through the local HTTP gate (docs/adr/0007-http-gate.md): packets of the
 * client to the gate's socket towards the client ("down"), packets of the server to its socket towards the server ("up").
 * Both sockets have the addresses of the real ends, so a packet's own tuple finds its socket. Sockets can only be assigned
 * where packets arrive: what is on its way out to the endpoint is sent back in at the same interface first. Only sockets
 * with the gate's mark count, which nobody without CAP_NET_ADMIN can set. No socket, no passage.
 */
#ifndef PALISADE_L7_REDIRECT_H
#define PALISADE_L7_REDIRECT_H

#define SOCKET_TIME_WAIT 6 /* numbers of <net/tcp_states.h> */
#define SOCKET_LISTEN 10
#define SOCKET_NEW_SYN_RECV 12
#define PACKET_HOST 0
#define LOOPBACK4 0x7f000001

#define STEER_FORWARD 1 /* to the gate's socket towards the client */
#define STEER_REPLY 2   /* to its socket towards the server */

MAP(http_gate, BPF_MAP_TYPE_ARRAY, 1, __u32, struct http_gate);

static __always_inline int is_steered(const struct connection *c)
{
	return c->protocol == IPPROTO_TCP && (c->verdict == VERDICT_L7 || c->flags & CONNECTION_STEERED);
}

/*
 * A packet of a connection that goes through the gate. Packets that the gate sends reach the endpoint; all others are
 * steered. Returns whether this packet counts: each byte passes the endpoint's interface once on its own and once again as
 * the gate's.
 */
static __always_inline int steer_connection(struct scene *s, struct connection *c, int is_reply)
{
	c->http = HTTP_STATE_OTHER; /* the gate tells what it reads */
	c->flags |= CONNECTION_STEERED;
	if (s->direction == DIRECTION_INGRESS && s->gate_mark == (is_reply ? MARK_GATE_DOWN : MARK_GATE_UP))
		return 1;
	s->steer = is_reply ? STEER_REPLY : STEER_FORWARD;
	if (!is_reply && (c->flags & (CONNECTION_TRANSLATED | CONNECTION_PENDING)) == CONNECTION_TRANSLATED) {
		s->to_backend = 1;
		s->backend_port = c->backend_port;
		__builtin_memcpy(s->backend, c->backend, 16);
	}
	c->last_seen_ns = s->now_ns;
	return s->direction == DIRECTION_EGRESS;
}

/* `tuple`: the packet's, whose destination becomes the listener's. */
static __always_inline struct bpf_sock *gate_listener(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, const int v6)
{
	__u32 zero = 0;
	struct http_gate *gate = bpf_map_lookup_elem(&http_gate, &zero);
	struct bpf_sock *found, *full;

	if (!gate)
		return 0;
	if (v6) {
		tuple->ipv6.daddr[0] = tuple->ipv6.daddr[1] = tuple->ipv6.daddr[2] = 0;
		tuple->ipv6.daddr[3] = bpf_htonl(1);
		tuple->ipv6.dport = gate->port6_be;
	} else {
		tuple->ipv4.daddr = bpf_htonl(LOOPBACK4);
		tuple->ipv4.dport = gate->port4_be;
	}
	found = bpf_skc_lookup_tcp(skb, tuple, v6 ? sizeof(tuple->ipv6) : sizeof(tuple->ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!found)
		return 0;
	full = bpf_sk_fullsock(found);
	if (full && full->state == SOCKET_LISTEN && full->mark == MARK_GATE_DOWN)
		return found;
	bpf_sk_release(found);
	return 0;
}

/* Whether a socket that the packet's own tuple found is the gate's and can take it. */
static __always_inline int gate_owns(struct bpf_sock *found, const struct packet *p, int reply)
{
	struct bpf_sock *full = bpf_sk_fullsock(found);
	int opens = (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	if (full)
		return full->state != SOCKET_LISTEN && full->mark == (reply ? MARK_GATE_UP : MARK_GATE_DOWN);
	/* Neither kind carries a mark; a new connection on the ports of one that has ended is the listener's. */
	return (found->state == SOCKET_NEW_SYN_RECV && !reply) || (found->state == SOCKET_TIME_WAIT && !opens);
}

/* The gate's socket that a packet belongs to, to be released by who asks, and the packet's tuple. `reply`: towards the server. */
static __always_inline struct bpf_sock *gate_socket(struct __sk_buff *skb, const struct scene *s, struct bpf_sock_tuple *tuple, int reply, const int v6)
{
	const struct packet *p = &s->packet;
	const __u32 *destination = s->to_backend ? s->backend : p->destination;
	__u16 port_be = s->to_backend ? bpf_htons(s->backend_port) : s->wire_port_be ? s->wire_port_be : p->destination_port_be;
	struct bpf_sock *found;

	if (v6) {
		__builtin_memcpy(tuple->ipv6.saddr, p->source, 16);
		__builtin_memcpy(tuple->ipv6.daddr, destination, 16);
		tuple->ipv6.sport = p->source_port_be;
		tuple->ipv6.dport = port_be;
	} else {
		tuple->ipv4.saddr = p->source[0];
		tuple->ipv4.daddr = destination[0];
		tuple->ipv4.sport = p->source_port_be;
		tuple->ipv4.dport = port_be;
	}
	found = bpf_skc_lookup_tcp(skb, tuple, v6 ? sizeof(tuple->ipv6) : sizeof(tuple->ipv4), BPF_F_CURRENT_NETNS, 0);
	if (found && !gate_owns(found, p, reply)) {
		bpf_sk_release(found);
		found = 0;
	}
	return found;
}

static __always_inline int steer_family(struct __sk_buff *skb, const struct scene *s, int reply, const int v6)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *found = gate_socket(skb, s, &tuple, reply, v6);
	int failed;

	/* What belongs to no connection of the gate: it opens one, or the listener answers it with a reset. */
	if (!found && !reply)
		found = gate_listener(skb, &tuple, v6);
	if (!found)
		return -1;
	failed = bpf_sk_assign(skb, found, 0);
	bpf_sk_release(found);
	return failed;
}

/* At the ingress of an interface: the packet is delivered to the gate's socket. Not 0: there is none. */
__noinline int steer_here(struct __sk_buff *skb, struct scene *s)
{
	int failed;

	if (!s)
		return -1;
	if (s->packet.first_fragment || s->packet.later_fragment)
		return -1; /* sockets take whole segments */
	if (s->packet.family == 4)
		failed = steer_family(skb, s, s->steer == STEER_REPLY, 0);
	else
		failed = steer_family(skb, s, s->steer == STEER_REPLY, 1);
	if (failed)
		return -1;
	bpf_skb_change_type(skb, PACKET_HOST);
	skb->mark = (skb->mark & ~MARK_GATE_MASK) | (s->arrived ? MARK_STEER_AGAIN : MARK_STEER);
	return 0;
}

/* At its egress: the packet turns round and arrives at the interface. */
static __always_inline int steer_back(struct __sk_buff *skb, const struct scene *s)
{
	skb->mark = (skb->mark & ~MARK_GATE_MASK) | (s->steer == STEER_REPLY ? MARK_STEER_REPLY : MARK_STEER);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
