// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* The programs of a workload endpoint: both directions of its host-side interface, and its egress after DNAT. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include "../include/abi.h"
#include "../include/abi_process.h"
#include "../include/kernel_types.h"
#include "../include/maps.h"
#include "../lib/packet.h"
#include "../lib/scene.h"
#include "../lib/process.h"
#include "../lib/accounting.h"
#include "../lib/denial.h"
#include "../lib/address.h"
#include "../lib/policy.h"
#include "../lib/connection.h"
#include "../lib/fragment.h"
#include "../lib/gate_ports.h"
#include "../lib/l7_redirect.h"
#include "../lib/ask_policy.h"
#include "../lib/service.h"
#include "../lib/judge.h"
#include "../lib/dns.h"
#include "../lib/dns_rules.h"
#include "../lib/dns_refuse.h"
#include "../lib/dns_watch.h"
#include "../lib/foresee.h"
#include "../lib/http.h"
#include "../lib/fast_path.h"
#include "../lib/soft_report.h"
#include "../lib/soft_http.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define TCX_NEXT -1

__noinline int decide4(struct scene *s)
{
	return s ? judge_family(s, 0) : DROP;
}

__noinline int decide6(struct scene *s)
{
	return s ? judge_family(s, 1) : DROP;
}

static __always_inline int decide(struct scene *s)
{
	return s->packet.family == 4 ? decide4(s) : decide6(s);
}

/* Finds out what the decision has asked for. */
static __always_inline void ask_first(struct __sk_buff *skb, struct scene *s, int what)
{
	if (what == ASK_QUESTION)
		dns_ask(skb, s);
	else if (what == ASK_BACKENDS)
		ask_backends(skb, s);
	else
		s->foreseen = gate_waits(skb, s) ? FORESEEN_AWAITED : FORESEEN_NOTHING;
}

__noinline int related4(struct scene *s)
{
	return s ? is_related(s, 0) : DROP;
}

__noinline int related6(struct scene *s)
{
	return s ? is_related(s, 1) : DROP;
}

__noinline int drop_unread(struct scene *s, __u32 reason)
{
	if (!s)
		return DROP;
	struct report r = { .kind = EVENT_DROPPED, .verdict = VERDICT_DENY, .reason = reason, .direction = s->direction };

	s->reason = reason;
	report_denial(s, &r, 0);
	return DROP;
}

/* Parses the packet inside an ICMP error. Whoever sent the error was the receiver of that packet. */
__noinline int check_related(struct __sk_buff *skb, struct scene *s)
{
	struct reader from = { .skb = skb };
	int bad;

	if (!s)
		return 0;
	from.limit = s->packet.length;
	__builtin_memset(&s->embedded, 0, sizeof(s->embedded));
	s->embedded.embedded = 1;
	s->embedded.length = s->packet.length;
	bad = s->packet.family == 4 ? parse_ipv4(&from, &s->embedded, s->packet.embedded_offset, !s->direction) :
				      parse_ipv6(&from, &s->embedded, s->packet.embedded_offset, !s->direction);
	if (bad || s->embedded.later_fragment || s->embedded.related)
		return 0;
	/* An error goes to whoever sent the packet that it quotes; one to anybody else is made up. */
	if (s->packet.destination[0] != s->embedded.source[0] || s->packet.destination[1] != s->embedded.source[1] ||
	    s->packet.destination[2] != s->embedded.source[2] || s->packet.destination[3] != s->embedded.source[3])
		return 0;
	return s->packet.family == 4 ? related4(s) : related6(s);
}

/* Ethernet frame → offset of layer 3 and its protocol, past up to two VLAN tags (IEEE 802.1Q, 802.1ad). */
static __always_inline __u32 layer3(struct __sk_buff *skb, const struct reader *from, __u16 *protocol)
{
	__u32 offset = sizeof(struct ethhdr);
	__u16 tag[2] __attribute__((aligned(4)));

	*protocol = skb->protocol;
	for (int i = 0; i < 2; i++) {
		if (*protocol != bpf_htons(ETH_P_8021Q) && *protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (read_bytes(from, offset, tag, sizeof(tag)))
			return 0;
		*protocol = tag[1];
		offset += 4;
	}
	return offset;
}

static __always_inline int examine(struct __sk_buff *skb, struct scene *s)
{
	struct reader from = { .skb = skb, .limit = skb->len };
	__u16 protocol;
	__u32 offset = layer3(skb, &from, &protocol);
	int bad, verdict;

	if (!offset)
		return drop_unread(s, REASON_INVALID);
	if (protocol == bpf_htons(ETH_P_IP))
		bad = parse_ipv4(&from, &s->packet, offset, s->direction);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		bad = parse_ipv6(&from, &s->packet, offset, s->direction);
	else if (protocol == bpf_htons(ETH_P_ARP) || !isolated(s, s->direction))
		return PASS;
	else
		return drop_unread(s, REASON_UNSUPPORTED);
	if (bad)
		return drop_unread(s, REASON_INVALID);
	if (s->direction == DIRECTION_EGRESS && s->gate_mark & MARK_STEER) {
		s->arrived = 1;
		s->steer = s->gate_mark == MARK_STEER_REPLY ? STEER_REPLY : STEER_FORWARD;
		return PASS;
	}
	if (from_gate(s))
		s->packet.source_port_be = other_gate_port_be(s->packet.source_port_be);
	if (is_link_upkeep(&s->packet))
		return PASS;
	if (s->packet.later_fragment && fragment_recall(s))
		return isolated(s, s->direction) ? drop_unread(s, REASON_FRAGMENT) : PASS;
	if (s->packet.related && check_related(skb, s))
		return PASS;
	if (s->direction == DIRECTION_EGRESS && (s->packet.tcp_flags == TCP_SYN || s->packet.protocol == IPPROTO_UDP))
		s->socket_cookie = bpf_get_socket_cookie(skb);
	verdict = decide(s);
	if (verdict >= ASK_QUESTION) {
		ask_first(skb, s, verdict);
		verdict = decide(s);
		if (verdict >= ASK_QUESTION) /* one answer is all that a packet can need */
			return drop_unread(s, REASON_STATE);
	}
	if (verdict != DROP && s->packet.first_fragment)
		fragment_remember(s);
	dns_see(skb, s, verdict == DROP, DNS_SCRATCH_INTERFACE);
	/* Asked first, so that a packet of neither kind meets one question. */
	if (!s->watch_http)
		return verdict;
	if (s->soft && verdict != DROP)
		verdict = soft_judge(skb, s);
	if (s->watch_http && s->packet.l4_header && (s->packet.l4_length > s->packet.l4_header || s->packet.tcp_flags & (TCP_FIN | TCP_RST)))
		http_observe(skb, s);
	return verdict;
}

#include "../lib/refuse.h"

/* What is dropped, and the answer to it where it gets one. Returns what the program returns. */
static __always_inline int refuse_packet(struct __sk_buff *skb, struct scene *s)
{
	struct reader from = { .skb = skb, .limit = skb->len };
	__u16 protocol;

	if (s->refuse)
		return refuse(skb, s, layer3(skb, &from, &protocol));
	if (s->direction == DIRECTION_EGRESS && s->packet.protocol == IPPROTO_UDP)
		return dns_refuse(skb, s, layer3(skb, &from, &protocol));
	return TC_ACT_SHOT;
}

static __always_inline int at_interface(struct __sk_buff *skb, __u32 direction)
{
	struct endpoint *endpoint = endpoint_of(skb->ifindex);
	struct scene *s;
	int verdict;

	if (!endpoint || pass_known(skb, endpoint))
		return TCX_NEXT;
	s = scene_of(SCENE_INTERFACE, endpoint, skb->ifindex, direction, skb->len);
	if (!s || scene_open(s, bpf_ktime_get_coarse_ns()) || s->control_flags & CONTROL_BYPASS)
		return TCX_NEXT;
	s->gate_mark = skb->mark & MARK_GATE_MASK;
	s->may_steer = MAY_STEER | MAY_ANSWER;
	s->may_ask = 1;
	verdict = examine(skb, s);
	if (s->steer && verdict != DROP && direction == DIRECTION_EGRESS && steer_here(skb, s))
		verdict = drop_unread(s, REASON_L7);
	if (!s->arrived || verdict == DROP)
		count_packet(s, verdict != DROP, verdict == PASS_AUDITED);
	if (verdict == DROP)
		return refuse_packet(skb, s);
	if (s->steer && direction == DIRECTION_INGRESS)
		return steer_back(skb, s);
	if (s->pass_mark)
		skb->mark |= s->pass_mark;
	return TCX_NEXT;
}

/* Ingress of the host-side interface: what the workload sends. */
SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	return at_interface(skb, DIRECTION_EGRESS);
}

/* Egress of the host-side interface: what the workload receives. */
SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	return at_interface(skb, DIRECTION_INGRESS);
}

#include "../lib/after_dnat.h"
#include "../lib/host.h"
#include "../lib/execution.h"
#include "../lib/export.h"
