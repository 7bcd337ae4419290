/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Host units: processes of the node itself, in a sub-cgroup of cgroup v2. The same decision as at a workload's interface,
 * taken where the unit's own sockets send and receive. The socket's view of a connection is the key: at these hooks egress
 * packets are already translated (NAT), ingress packets are translated back.
 */
#ifndef PALISADE_HOST_H
#define PALISADE_HOST_H

#define IDENTITY_HOST 1
#define LOOPBACK_IFINDEX 1 /* in every network namespace (net/loopback.h) */
#define EACCES 13
#define CGROUP_REFUSE 0
#define CGROUP_PASS 1

/* One value for each attached cgroup; user space fills it after all hooks are attached. A 64 bit key: shared by all hooks. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct endpoint);
} host_units SEC(".maps");

/* Resolvers of the node: units always reach them, whatever policy says (docs/operations.md, what is never locked out). */
MAP(lifelines, BPF_MAP_TYPE_HASH, 64, struct mapped_address, __u32);

/*
 * These hooks run in process context too, where another task or a soft interrupt may run them on the same processor: rows
 * are taken and given back. None free: the packet is refused and counted.
 */
#define HOST_SCENES 8
struct host_scene {
	__u32 busy;
	__u32 reserved;
	struct scene scene;
};
MAP(host_scenes, BPF_MAP_TYPE_PERCPU_ARRAY, HOST_SCENES, __u32, struct host_scene);

static __always_inline struct host_scene *host_scene_take(void)
{
	struct loss_counters *loss;

	for (__u32 i = 0; i < HOST_SCENES; i++) {
		__u32 row = i;
		struct host_scene *found = bpf_map_lookup_elem(&host_scenes, &row);

		if (found && !__sync_lock_test_and_set(&found->busy, 1))
			return found;
	}
	loss = losses();
	if (loss)
		loss->table_full++;
	return 0;
}

static __always_inline void host_scene_give(struct host_scene *h)
{
	__sync_lock_test_and_set(&h->busy, 0);
}

static __always_inline int is_lifeline(const __u32 *address, const int v6)
{
	struct mapped_address key;

	map_address(&key, 0, address, v6);
	return bpf_map_lookup_elem(&lifelines, &key) != 0;
}

/* Questions to the node's resolvers and their answers. */
static __always_inline int on_lifeline(const struct scene *s)
{
	const struct packet *p = &s->packet;
	int egress = s->direction == DIRECTION_EGRESS;

	if (p->protocol != IPPROTO_UDP && p->protocol != IPPROTO_TCP)
		return 0;
	if ((egress ? p->destination_port_be : p->source_port_be) != bpf_htons(DNS_PORT))
		return 0;
	return is_lifeline(egress ? p->destination : p->source, p->family == 6);
}

/*
 * A packet that was translated after its socket sent it: decided on the backend, tracked under the address that the socket
 * knows, which is what the answers carry when they come back to it.
 */
static __always_inline int host_translated(struct scene *s, const struct address *original, __u16 original_port_be, const int v6)
{
	struct packet *p = &s->packet;
	struct connection *c, *fresh = &s->fresh;
	union connection_key key;
	__u32 backend[4];
	__u16 backend_port_be = p->destination_port_be;
	int source_low, verdict;

	__builtin_memcpy(backend, p->destination, 16);
	__builtin_memcpy(p->destination, original->words, 16);
	p->destination_port_be = original_port_be;
	source_low = connection_key_of(p, s->endpoint.slot, v6, &key);
	c = connection_find(&key, v6);
	if (c && source_low != !!(c->flags & CONNECTION_FORWARD_FROM_LOW)) {
		/* The answer of a connection that came in. */
		p->policy_port = bpf_ntohs(original_port_be);
		return v6 ? decide6(s) : decide4(s);
	}
	if (c && (s->now_ns > c->last_seen_ns + connection_timeout_ns(c) || (p->tcp_flags == TCP_SYN && c->state >= STATE_CLOSING))) {
		if (c->verdict != VERDICT_DENY)
			report_connection(s, c, EVENT_CLOSED, REASON_NONE, 0);
		connection_remove(&key, v6);
		c = 0;
	}
	if (!c) {
		__builtin_memset(fresh, 0, sizeof(*fresh));
		fresh->protocol = p->protocol;
		fresh->flags = CONNECTION_TRANSLATED | CONNECTION_PENDING | CONNECTION_EGRESS | (source_low ? CONNECTION_FORWARD_FROM_LOW : 0);
		fresh->generation = s->generation;
		fresh->verdict = VERDICT_DENY;
		fresh->policy_port = bpf_ntohs(original_port_be);
		fresh->socket_cookie = s->socket_cookie;
		fresh->first_seen_ns = fresh->last_seen_ns = s->now_ns;
		fresh->packets[0] = 1;
		fresh->bytes[0] = p->length;
		fresh->tcp_flags[0] = p->tcp_flags;
		fresh->http = p->protocol == IPPROTO_TCP && s->control_flags & CONTROL_HTTP ? HTTP_STATE_UNDECIDED : HTTP_STATE_OTHER;
		s->tracked = !connection_store(&key, fresh, v6);
	}
	__builtin_memcpy(p->destination, backend, 16);
	p->destination_port_be = backend_port_be;
	verdict = v6 ? translated6(s, original, original_port_be) : translated4(s, original, original_port_be);
	if (verdict == PASS && c) {
		c = connection_find(&key, v6);
		if (c) {
			connection_touch(c, s->packet.protocol, s->packet.tcp_flags, s->packet.length, s->now_ns, 0);
			s->tracked = 1;
		}
	}
	return verdict;
}

__noinline int host_translated4(struct scene *s, const struct address *original, __u32 original_port_be)
{
	return s && original ? host_translated(s, original, original_port_be, 0) : DROP;
}

__noinline int host_translated6(struct scene *s, const struct address *original, __u32 original_port_be)
{
	return s && original ? host_translated(s, original, original_port_be, 1) : DROP;
}

/* Where an unconnected socket last sent to a service, by socket cookie: its packets carry the backend already. */
struct service_peer {
	struct address address;
	__u16 port_be;
	__u16 family;
	__u32 reserved;
};
MAP(service_peers, BPF_MAP_TYPE_LRU_HASH, 8192, __u64, struct service_peer);

/* Fills in the socket's own view of this packet's two ends. Not 0: the destination was translated, `peer` is what the socket knows. */
static __always_inline int host_socket_view(struct __sk_buff *skb, struct scene *s, struct service_peer *peer)
{
	struct packet *p = &s->packet;
	struct bpf_sock *sk = skb->sk;
	struct service_peer *sent;
	const int v6 = p->family == 6;

	if (p->later_fragment || (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) || !sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	peer->port_be = sk->dst_port;
	if (!peer->port_be) {
		sent = p->protocol == IPPROTO_UDP ? bpf_map_lookup_elem(&service_peers, &s->socket_cookie) : 0;
		if (!sent || sent->family != p->family)
			return 0;
		*peer = *sent;
	} else if (v6) {
		peer->address.words[0] = sk->dst_ip6[0];
		peer->address.words[1] = sk->dst_ip6[1];
		peer->address.words[2] = sk->dst_ip6[2];
		peer->address.words[3] = sk->dst_ip6[3];
		p->source[0] = sk->src_ip6[0];
		p->source[1] = sk->src_ip6[1];
		p->source[2] = sk->src_ip6[2];
		p->source[3] = sk->src_ip6[3];
	} else {
		peer->address.words[0] = sk->dst_ip4;
		p->source[0] = sk->src_ip4;
	}
	p->source_port_be = bpf_htons(sk->src_port);
	return !same_address(&peer->address, p->destination) || peer->port_be != p->destination_port_be;
}

static __always_inline int host_examine(struct __sk_buff *skb, struct scene *s)
{
	struct reader from = { .skb = skb, .limit = skb->len };
	struct service_peer peer = {};
	int bad, verdict;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		bad = parse_ipv4(&from, &s->packet, 0, s->direction);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bad = parse_ipv6(&from, &s->packet, 0, s->direction);
	else
		return drop_unread(s, REASON_UNSUPPORTED);
	if (bad)
		return drop_unread(s, REASON_INVALID);
	if (is_link_upkeep(&s->packet))
		return PASS;
	if (s->packet.later_fragment && fragment_recall(s))
		return isolated(s, s->direction) ? drop_unread(s, REASON_FRAGMENT) : PASS;
	if (s->packet.related && check_related(skb, s))
		return PASS;
	if (s->direction == DIRECTION_EGRESS)
		s->socket_cookie = bpf_get_socket_cookie(skb);
	if (on_lifeline(s))
		verdict = PASS;
	else if (s->direction == DIRECTION_EGRESS && host_socket_view(skb, s, &peer))
		verdict = s->packet.family == 4 ? host_translated4(s, &peer.address, peer.port_be) : host_translated6(s, &peer.address, peer.port_be);
	else
		verdict = s->packet.family == 4 ? decide4(s) : decide6(s);
	if (verdict != DROP && s->packet.first_fragment)
		fragment_remember(s);
	dns_see(skb, s, verdict == DROP, DNS_SCRATCH_HOST);
	if (s->watch_http && s->packet.l4_header && (s->packet.l4_length > s->packet.l4_header || s->packet.tcp_flags & (TCP_FIN | TCP_RST)))
		http_observe(skb, s);
	return verdict;
}

/* What stays on the node (the loopback interface) is never judged: the host does not restrict traffic with itself. */
static __always_inline int at_host_unit(struct __sk_buff *skb, const struct endpoint *unit, __u32 direction)
{
	struct host_scene *h;
	struct scene *s;
	int verdict = PASS;

	if (!unit->present || skb->ifindex == LOOPBACK_IFINDEX)
		return CGROUP_PASS;
	h = host_scene_take();
	if (!h)
		return CGROUP_REFUSE;
	s = &h->scene;
	scene_set(s, unit, skb->ifindex, direction, skb->len);
	if (!scene_open(s, bpf_ktime_get_coarse_ns()) && !(s->control_flags & CONTROL_BYPASS)) {
		verdict = host_examine(skb, s);
		count_packet(s, verdict != DROP, verdict == PASS_AUDITED);
	}
	host_scene_give(h);
	return verdict == DROP ? CGROUP_REFUSE : CGROUP_PASS;
}

SEC("cgroup_skb/egress")
int from_host_unit(struct __sk_buff *skb)
{
	return at_host_unit(skb, bpf_get_local_storage(&host_units, 0), DIRECTION_EGRESS);
}

SEC("cgroup_skb/ingress")
int to_host_unit(struct __sk_buff *skb)
{
	return at_host_unit(skb, bpf_get_local_storage(&host_units, 0), DIRECTION_INGRESS);
}

/* connect(2) fails with EACCES; kernels before 5.18 have no way to say so and give EPERM. */
static __always_inline int refuse_connect(void)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_set_retval))
		bpf_set_retval(-EACCES);
	return CGROUP_REFUSE;
}

/* Policy's answer to a connection that is about to be opened to s->packet.destination. */
static __always_inline int host_may_connect(struct scene *s, const int v6)
{
	struct packet *p = &s->packet;

	if (scene_open(s, bpf_ktime_get_coarse_ns()) || s->control_flags & CONTROL_BYPASS)
		return 1;
	/* Services are decided on the backend, by the packet. */
	if (on_lifeline(s) || service_of(s))
		return 1;
	if (judge(s, p->destination, DIRECTION_EGRESS, p->protocol, p->policy_port, v6) != VERDICT_DENY || s->judgement.identity == IDENTITY_HOST)
		return 1;
	report_drop(s, 0, DIRECTION_EGRESS, 0);
	count_packet(s, 0, 0);
	return 0;
}

/* Only TCP: an unconnected protocol's socket may be answering, which the packet's hook knows and this one does not. */
static __always_inline int at_host_connect(struct bpf_sock_addr *ctx, const struct endpoint *unit, const __u32 *address, const int v6)
{
	struct host_scene *h;
	struct scene *s;
	int may;

	if (!unit->present || ctx->protocol != IPPROTO_TCP)
		return CGROUP_PASS;
	h = host_scene_take();
	if (!h)
		return refuse_connect();
	s = &h->scene;
	scene_set(s, unit, 0, DIRECTION_EGRESS, 0);
	s->packet.family = v6 ? 6 : 4;
	s->packet.protocol = IPPROTO_TCP;
	__builtin_memcpy(s->packet.destination, address, 16);
	s->packet.destination_port_be = ctx->user_port;
	s->packet.policy_port = bpf_ntohs((__u16)ctx->user_port);
	s->socket_cookie = bpf_get_socket_cookie(ctx);
	may = host_may_connect(s, v6);
	host_scene_give(h);
	return may ? CGROUP_PASS : refuse_connect();
}

SEC("cgroup/connect4")
int host_connect4(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = { ctx->user_ip4 };

	if ((bpf_ntohl(address[0]) >> 24) == 127)
		return CGROUP_PASS;
	return at_host_connect(ctx, bpf_get_local_storage(&host_units, 0), address, 0);
}

SEC("cgroup/connect6")
int host_connect6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };
	const struct endpoint *unit = bpf_get_local_storage(&host_units, 0);

	if (!address[0] && !address[1] && address[2] == bpf_htonl(0xffff)) {
		__u32 mapped[4] = { address[3] }; /* an IPv6 socket that speaks IPv4 (RFC 4291 §2.5.5.2) */

		return (bpf_ntohl(mapped[0]) >> 24) == 127 ? CGROUP_PASS : at_host_connect(ctx, unit, mapped, 0);
	}
	if (!address[0] && !address[1] && !address[2] && address[3] == bpf_htonl(1))
		return CGROUP_PASS;
	return at_host_connect(ctx, unit, address, 1);
}

/* Remembers, for the packet that follows in the same call, that an unconnected socket sends to a service. */
static __always_inline int at_host_sendmsg(struct bpf_sock_addr *ctx, const struct endpoint *unit, const __u32 *address, const int v6)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct service_key key = { .length = 32 + 128 + 8 + 8 + 16, .network = unit->network, .protocol = IPPROTO_UDP };
	struct service_peer peer = { .family = v6 ? 6 : 4 };

	if (!unit->present)
		return CGROUP_PASS;
	if (v6) {
		__builtin_memcpy(key.address, address, 16);
	} else {
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, address, 4);
	}
	key.port_be = ctx->user_port;
	if (bpf_map_lookup_elem(&services, &key)) {
		__builtin_memcpy(&peer.address, address, 16);
		peer.port_be = ctx->user_port;
		bpf_map_update_elem(&service_peers, &cookie, &peer, BPF_ANY);
	} else {
		bpf_map_delete_elem(&service_peers, &cookie);
	}
	return CGROUP_PASS;
}

SEC("cgroup/sendmsg4")
int host_sendmsg4(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = { ctx->user_ip4 };

	return at_host_sendmsg(ctx, bpf_get_local_storage(&host_units, 0), address, 0);
}

SEC("cgroup/sendmsg6")
int host_sendmsg6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };

	return at_host_sendmsg(ctx, bpf_get_local_storage(&host_units, 0), address, 1);
}

#endif
