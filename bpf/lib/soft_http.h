/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Soft rules on HTTP (docs/adr/0010-soft-http-rules.md): requests are judged where they pass, packet by packet. A segment
 * that begins a request holds its whole head, in the one form that no two readers read differently, or the connection is
 * reset. The body's length says where the next request begins; what passes in between is not looked at. Nothing passes that
 * neither is such a head nor lies in the body of the last one. Tables come from libs/policy/src/soft.
 */
#ifndef PALISADE_SOFT_HTTP_H
#define PALISADE_SOFT_HTTP_H

#define SOFT_HEAD_BYTES 4096
#define SOFT_STALLED 4 /* a tail loss probe (RFC 8985 §7) and a few time-outs */
#define SOFT_MAX_BODY (1U << 30) /* differences of sequence numbers stay plain */

/* Parts of a head, by their table. */
#define SOFT_METHOD 0
#define SOFT_TARGET 1
#define SOFT_VERSION 2
#define SOFT_FIELDS 3
/* SOFT_FIELD of libs/policy/src/soft/soft-http.ts */
#define SOFT_FIELD_HOST 1
#define SOFT_FIELD_LENGTH 2
#define SOFT_FIELD_END 4

#define SOFT_READING 0
#define SOFT_COMPLETE 1
#define SOFT_MALFORMED 2

#define TCP_URG 0x20

struct soft_scan {
	__u8 data[SOFT_HEAD_BYTES];
	__u64 rules;  /* those that still match */
	__u64 fields; /* conditions that lines have fulfilled */
	__u64 number; /* the line's last number */
	__u64 length; /* of the body */
	__u32 size;
	__u32 at;
	__u32 row;
	__u32 part;
	__u32 outcome;
	__u32 reserved;
};
MAP(soft_scans, BPF_MAP_TYPE_PERCPU_ARRAY, 1, __u32, struct soft_scan);

struct soft_reading {
	struct soft_scan *d;
	const struct soft_rules *rules;
};

/* A part of the head has ended. Not 0: so has the reading. */
static __always_inline long soft_part_ends(struct soft_scan *d, const struct soft_rules *rules)
{
	__u32 meaning = rules->words[d->row & (SOFT_WORDS - 1)];
	__u64 mask = rules->masks[meaning & (SOFT_MASKS - 1)];

	d->outcome = SOFT_MALFORMED;
	if (!meaning)
		return 1;
	if (d->part < SOFT_FIELDS) {
		d->rules &= mask;
		d->part++;
	} else if (mask & SOFT_FIELD_END) {
		d->outcome = SOFT_COMPLETE;
		return 1;
	} else {
		if (d->fields & mask & rules->once)
			return 1;
		d->fields |= mask;
		if (mask & SOFT_FIELD_LENGTH)
			d->length = d->number;
	}
	d->outcome = SOFT_READING;
	d->row = rules->starts[d->part & 3];
	d->number = 0;
	return 0;
}

static long soft_byte(__u32 i, struct soft_reading *reading)
{
	struct soft_scan *d = reading->d;
	const struct soft_rules *rules = reading->rules;
	__u32 at = d->at, part = d->part & 3, next;
	__u8 byte;

	(void)i;
	if (at >= d->size || at >= SOFT_HEAD_BYTES)
		return 1;
	byte = d->data[at];
	d->at = at + 1;
	if (byte == (part <= SOFT_TARGET ? ' ' : '\n'))
		return soft_part_ends(d, rules);
	next = rules->words[(d->row + rules->classes[part * 256 + byte]) & (SOFT_WORDS - 1)];
	d->row = next;
	if (byte >= '0' && byte <= '9')
		d->number = d->number * 10 + (byte - '0');
	else if (byte == ':')
		d->number = 0;
	if (next)
		return 0;
	d->outcome = SOFT_MALFORMED;
	return 1;
}

/* The first rule that the head matches, SOFT_RULES: none does. */
static __always_inline __u32 soft_matching(const struct soft_scan *d, const struct soft_rules *rules)
{
	__u64 left = d->rules, fields = d->fields;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SOFT_RULES; i++) {
		if (left & 1 && !(rules->needs[i] & ~fields))
			return i;
		left >>= 1;
	}
	return SOFT_RULES;
}

/* Reads the head at `offset`. Returns SOFT_COMPLETE with its bytes in d->at, or SOFT_MALFORMED. */
static __always_inline int soft_read_head(struct __sk_buff *skb, struct soft_scan *d, const struct soft_rules *rules, __u32 offset, __u32 size)
{
	struct soft_reading reading = { .d = d, .rules = rules };

	if (size > SOFT_HEAD_BYTES)
		size = SOFT_HEAD_BYTES;
	asm volatile("" : "+r"(size)); /* keeps the bound on the register that the helper gets */
	if (size < 1 || size > SOFT_HEAD_BYTES || bpf_skb_load_bytes(skb, offset, d->data, size))
		return SOFT_MALFORMED;
	d->size = size;
	d->at = d->part = d->outcome = 0;
	d->fields = d->number = d->length = 0;
	d->rules = ~0ULL;
	d->row = rules->starts[SOFT_METHOD];
	bpf_loop(SOFT_HEAD_BYTES, soft_byte, &reading, 0);
	if (d->outcome != SOFT_COMPLETE || !(d->fields & SOFT_FIELD_HOST) || d->length > SOFT_MAX_BODY)
		return SOFT_MALFORMED;
	return SOFT_COMPLETE;
}

static __always_inline const struct soft_rules *soft_rules_of(const struct scene *s, __u16 number)
{
	__u32 row = s->bank * MAX_SOFT_SETS + number, zero = 0;
	void *tables;

	if (number >= MAX_SOFT_SETS)
		return 0;
	tables = bpf_map_lookup_elem(&soft_rules, &row);
	return tables ? bpf_map_lookup_elem(tables, &zero) : 0;
}

/* What becomes of a segment. */
#define SOFT_PASS 0
#define SOFT_DROP 1      /* without a word: the sender will say it again, or has been told */
#define SOFT_RESET 2     /* nothing that can be judged: both ends are reset */
#define SOFT_FORBIDDEN 3 /* a request that no rule allows: the client is told 403, the server is reset */

struct soft_place {
	union connection_key key;
	struct connection *c;
	struct soft_stream *stream;
	__u32 sequence;
	__u32 payload;
};

/* A segment that begins at a request's first byte. */
static __always_inline int soft_judge_head(struct __sk_buff *skb, struct scene *s, struct soft_place *at)
{
	struct soft_stream *stream = at->stream;
	const struct soft_rules *rules;
	struct soft_scan *d;
	__u32 zero = 0, body, end, rule;
	__u16 number = at->c->l7;
	int again = at->sequence != stream->end;

	/* Another processor may have taken a newer policy's number, whose tables are another bank's. */
	if (*(volatile __u32 *)&at->c->generation != s->generation)
		return SOFT_DROP;
	rules = soft_rules_of(s, number);
	d = bpf_map_lookup_elem(&soft_scans, &zero);
	if (!rules || !d)
		return SOFT_RESET;
	if (soft_read_head(skb, d, rules, s->packet.l4_offset + s->packet.l4_header, at->payload) != SOFT_COMPLETE)
		return SOFT_RESET;
	body = at->sequence + d->at;
	end = body + (__u32)d->length;
	if (at->payload > d->at + (__u32)d->length)
		return SOFT_RESET; /* another request follows in the same segment */
	if (again && (body != stream->body || end != stream->end))
		return SOFT_RESET; /* said again, and not the same */
	rule = soft_matching(d, rules);
	if (rule >= SOFT_RULES) /* While an answer is awaited, ours would be taken for it. */
		return again || at->c->http == HTTP_STATE_WAITING || at->c->http == HTTP_STATE_UNREAD ? SOFT_RESET : SOFT_FORBIDDEN;
	stream->head = at->sequence;
	stream->body = body;
	stream->end = end;
	stream->stalled = 0;
	s->soft_rule = rules->rule_ids[rule];
	return SOFT_PASS;
}

/*
 * A segment behind a gap: the sender says it again once it has said what is missing. One that comes again and again while
 * nothing else does stands behind data that passed unseen, as under break-glass.
 */
static __always_inline int soft_behind_gap(struct soft_stream *stream, __u32 sequence)
{
	if (!stream->stalled || (__s32)(sequence - stream->ahead) < 0) {
		stream->ahead = sequence;
		stream->stalled = 1;
	} else if (sequence == stream->ahead && ++stream->stalled > SOFT_STALLED) {
		return SOFT_RESET;
	}
	return SOFT_DROP;
}

static __always_inline int soft_judge_segment(struct __sk_buff *skb, struct scene *s, struct soft_place *at)
{
	const struct packet *p = &s->packet;
	struct soft_stream *stream = at->stream;
	__s32 after_body;

	if (p->tcp_flags & TCP_RST)
		return SOFT_PASS;
	if (!stream)
		return at->payload ? SOFT_RESET : SOFT_PASS;
	if (stream->refused)
		return at->payload || p->tcp_flags & TCP_FIN || stream->refused == SOFT_RESET ? SOFT_RESET : SOFT_DROP;
	if (p->tcp_flags & TCP_SYN) /* sent again */
		return !at->payload && at->sequence + 1 == stream->head ? SOFT_PASS : SOFT_DROP;
	if (!at->payload)
		return SOFT_PASS;
	if (p->tcp_flags & TCP_URG)
		return SOFT_RESET; /* servers take urgent bytes out of the stream (RFC 6093) */
	if (at->sequence == stream->end || at->sequence == stream->head)
		return soft_judge_head(skb, s, at);
	after_body = (__s32)(stream->end - at->sequence);
	if (after_body < 0)
		return soft_behind_gap(stream, at->sequence);
	if ((__s32)(at->sequence - stream->body) < 0)
		return SOFT_DROP; /* what came before */
	return at->payload <= (__u32)after_body ? SOFT_PASS : SOFT_RESET;
}

/* Policy's answer to a segment of a connection under soft rules. Global: verified once. */
__noinline int soft_judge(struct __sk_buff *skb, struct scene *s)
{
	struct soft_place at = {};
	struct soft_stream fresh = {};
	int result, tell;
	__u32 v6;

	if (!s)
		return DROP;
	v6 = s->packet.family == 6;
	if (v6)
		connection_key_of(&s->packet, s->endpoint.slot, 1, &at.key);
	else
		connection_key_of(&s->packet, s->endpoint.slot, 0, &at.key);
	at.c = v6 ? connection_find(&at.key, 1) : connection_find(&at.key, 0);
	if (!at.c || s->packet.first_fragment || s->packet.later_fragment ||
	    bpf_skb_load_bytes(skb, s->packet.l4_offset + 4, &at.sequence, sizeof(at.sequence))) {
		s->reason = REASON_UNPARSED;
		return DROP;
	}
	at.sequence = bpf_ntohl(at.sequence);
	at.payload = s->packet.l4_length - s->packet.l4_header;
	if (s->soft == SOFT_OPENS) {
		fresh.head = fresh.body = fresh.end = at.sequence + 1;
		bpf_map_update_elem(&soft_streams, &at.key.v6, &fresh, BPF_ANY);
		return PASS;
	}
	at.stream = bpf_map_lookup_elem(&soft_streams, &at.key.v6);
	tell = !at.stream || !at.stream->refused;
	result = soft_judge_segment(skb, s, &at);
	if (result == SOFT_PASS) {
		if (s->soft == SOFT_SEGMENT)
			connection_pass(at.c, s, 0);
		s->watch_http = at.c->http < HTTP_STATE_OTHER;
		return PASS;
	}
	s->watch_http = 0;
	if (result != SOFT_DROP) {
		at.c->http = HTTP_STATE_OTHER;
		at.c->state = STATE_CLOSING;
		s->refuse = result;
		if (at.stream) {
			at.stream->refused = result;
		} else {
			fresh.refused = result;
			bpf_map_update_elem(&soft_streams, &at.key.v6, &fresh, BPF_ANY);
		}
	}
	s->reason = result == SOFT_FORBIDDEN ? REASON_L7 : REASON_UNPARSED;
	drop_denied(s, at.c, s->reason, 0);
	if (result != SOFT_DROP && tell && at.payload)
		http_tell_refused(skb, s, result == SOFT_FORBIDDEN ? 403 : 0);
	return DROP;
}

#endif
