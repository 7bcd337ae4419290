/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* What is told of a request that soft rules on HTTP refused. What they let pass is told like any other, see http.h. */
#ifndef PALISADE_SOFT_REPORT_H
#define PALISADE_SOFT_REPORT_H

/* `status` of the answer; 0: a reset. Of the request whatever can be read. */
__noinline int http_tell_refused(struct __sk_buff *skb, struct scene *s, __u32 status)
{
	struct http_place at = {};
	struct http_scratch *d;
	__u32 zero = 0, size, length = 0, method;

	if (!s)
		return 0;
	d = bpf_map_lookup_elem(&http_scratches, &zero);
	at.counters = bpf_map_lookup_elem(&http_counters, &zero);
	if (s->packet.family == 6)
		connection_key_of(&s->packet, s->endpoint.slot, 1, &at.key);
	else
		connection_key_of(&s->packet, s->endpoint.slot, 0, &at.key);
	at.c = s->packet.family == 6 ? connection_find(&at.key, 1) : connection_find(&at.key, 0);
	if (!d || !at.counters || !at.c)
		return 0;
	at.verdict = VERDICT_DENY;
	at.drop_reason = s->reason;
	size = s->packet.l4_length - s->packet.l4_header;
	if (size > HTTP_BYTES)
		size = HTTP_BYTES;
	asm volatile("" : "+r"(size)); /* keeps the bound on the register that the helper gets */
	if (size < 1 || size > HTTP_BYTES || bpf_skb_load_bytes(skb, s->packet.l4_offset + s->packet.l4_header, d->data, size))
		return 0;
	d->size = size;
	method = size < 8 ? 0 : http_method(d->data, &length);
	d->request.rule_id = 0;
	d->request.started_ns = bpf_ktime_get_ns();
	if (method && !http_read_request(d, length)) {
		d->request.method = method;
		http_report(s, &at, &d->request, HTTP_EVENT_EXCHANGE, status);
	} else {
		http_report(s, &at, 0, http_other_kind(d), status);
	}
	return 0;
}

#endif
