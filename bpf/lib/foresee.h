/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Egress to a service is decided after its translation (after_dnat.h), which is too late for what only the endpoint's interface
 * can do: hand a connection to the HTTP gate, read it from its first byte, and answer a DNS question. So the kinds of backends
 * that the agent knows are asked before. What they say admits nothing: the backend that the packet gets is judged as ever.
 */
#ifndef PALISADE_FORESEE_H
#define PALISADE_FORESEE_H

/* The verdict about one kind of backend, which becomes the scene's. */
static __always_inline __u8 ask_kind(struct scene *s, const struct service *service, __u32 kind, const int v6)
{
	__builtin_memcpy(s->backend, service->address + kind * 16, 16);
	s->backend_port = service->port[kind];
	return judge(s, s->backend, DIRECTION_EGRESS, s->packet.protocol, s->backend_port, v6);
}

static __always_inline int foresee(struct scene *s, const int v6)
{
	const struct service *service = service_of(s);
	int tcp = s->packet.protocol == IPPROTO_TCP, soft = 0;

	if (!service)
		return FORESEEN_NOTHING;
	for (__u32 kind = 0; kind < SERVICE_KINDS; kind++) {
		__u8 verdict;

		if (kind >= service->kinds)
			break;
		verdict = ask_kind(s, service, kind, v6);
		if (tcp) {
			if (verdict == VERDICT_L7)
				return FORESEEN_GATE;
			soft |= verdict == VERDICT_SOFT;
			continue;
		}
		if (on_question(verdict, IPPROTO_UDP)) {
			if (!question_refused(s, s->judgement.l7))
				return FORESEEN_NOTHING;
			s->judgement.reason = REASON_L7;
		} else if (verdict != VERDICT_DENY) {
			return FORESEEN_NOTHING;
		}
	}
	if (tcp)
		return soft ? FORESEEN_SOFT : FORESEEN_NOTHING;
	return service->more ? FORESEEN_NOTHING : FORESEEN_REFUSED;
}

__noinline int foresee4(struct scene *s)
{
	return s ? foresee(s, 0) : FORESEEN_NOTHING;
}

__noinline int foresee6(struct scene *s)
{
	return s ? foresee(s, 1) : FORESEEN_NOTHING;
}

/* A DNS question is read once, for all kinds. */
static __always_inline void ask_backends(struct __sk_buff *skb, struct scene *s)
{
	if (s->packet.protocol == IPPROTO_UDP && !s->asked)
		dns_ask(skb, s);
	s->foreseen = s->packet.family == 4 ? foresee4(s) : foresee6(s);
}

/*
 * A server's packet that no connection covers may be the gate's all the same: its connection is the client's to a service, and the
 * programs know it under that address. The gate's own socket tells.
 */
__noinline int gate_waits(struct __sk_buff *skb, struct scene *s)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *found;

	if (!s)
		return 0;
	found = s->packet.family == 4 ? gate_socket(skb, s, &tuple, 1, 0) : gate_socket(skb, s, &tuple, 1, 1);
	if (!found)
		return 0;
	bpf_sk_release(found);
	return 1;
}

#endif
